# services.mediapipe for NixOS. The units come from the package and say how a job runs; what stands
# here are machine facts: who, where, when, which secrets.
{
  imports = [
    ./options.nix
    ./config-file.nix
    ./units.nix
    ./assertions.nix
    ./neighbours.nix
    ./sabnzbd-hook.nix
    ./web-dashboard.nix
  ];
}
