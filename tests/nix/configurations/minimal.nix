{
  services.mediapipe = {
    enable = true;
    secrets."rclone.conf" = "/run/secrets/rclone.conf";
  };
}
