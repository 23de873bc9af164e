# The module beside real services in a virtual machine, for whoever has nixpkgs and KVM:
#   nix build .#checks.x86_64-linux.vm
{
  name = "mediapipe";

  nodes.box = { lib, ... }: {
    imports = [ ../module.nix ];

    services.mediapipe = {
      enable = true;
      createFolders = true;
      webDashboard.enable = true;
      # A folder in place of B2: rclone gives the SHA-1 of its files too.
      secrets."rclone.conf" = "/etc/rclone.conf";
      settings.rclone.remote = "disk:/srv/remote";
      settings.upload.settle = "1s";
    };
    environment.etc."rclone.conf".text = ''
      [disk]
      type = local
    '';
    systemd.tmpfiles.settings.remote."/srv/remote".d = {
      mode = "0755";
      user = "media";
      group = "media";
    };

    services.qbittorrent = {
      enable = true;
      serverConfig = {
        LegalNotice.Accepted = true;
        Preferences.WebUI.LocalHostAuth = false;
      };
    };
    services.sonarr.enable = true;
    systemd.services.sonarr.serviceConfig.UMask = lib.mkForce "0002";
  };

  testScript = ''
    box.wait_for_unit("qbittorrent.service")
    box.wait_for_open_port(8080)

    with subtest("categories are declared, for folders that the group may write to"):
        box.succeed("systemctl start qbt-categories.service")
        told = box.succeed("curl --fail --silent http://127.0.0.1:8080/api/v2/torrents/categories")
        assert "/var/lib/qBittorrent/completed/tv" in told, told
        box.succeed("stat --format='%a %U %G' /media/arr/tv | grep '^2775 media media$'")

    with subtest("an episode is uploaded, and proven by its marker"):
        episode = "/media/arr/tv/Show/S01E01.mkv"
        box.succeed("runuser -u media -- mkdir /media/arr/tv/Show")
        box.succeed(f"runuser -u media -- sh -c 'echo film >{episode}'")
        upload = "systemctl start qbt-upload-b2.service"
        box.wait_until_succeeds(f"{upload} && test -s {episode}.uploaded")
        box.succeed("grep --quiet film /srv/remote/tv/Show/S01E01.mkv")

    with subtest("the mount shows it to other users"):
        box.wait_for_unit("rclone-b2-mount.service")
        box.wait_until_succeeds("grep --quiet film /media/b2/tv/Show/S01E01.mkv")

    with subtest("timers run, and short addresses lead to the services"):
        box.succeed("systemctl is-active qbt-upload-b2.timer qbt-cleanup.timer")
        box.wait_for_open_port(80)
        told = box.succeed("curl --silent --head http://localhost/sonarr/")
        assert "Location: http://localhost:8989/" in told, told

    with subtest("a new generation keeps its hands off a job that runs"):
        folder = "/etc/systemd/system/qbt-upload-b2.service.d"
        box.succeed(f"grep X-RestartIfChanged=false {folder}/overrides.conf")
  '';
}
