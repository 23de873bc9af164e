# A seed box, complete: qBittorrent, Sonarr, Radarr, Prowlarr and Jellyfin of NixOS, SABnzbd in a
# container, mediapipe between them and Backblaze B2. Copy it, and change what is marked.
#
# The flake around it has the inputs mediapipe and sops-nix, and
#   modules = [ mediapipe.nixosModules.default sops-nix.nixosModules.sops ./builder.nix ];
{ config, lib, ... }:
let
  # One file system for downloads and libraries, or imports cannot be hard links.
  media = "/srv/media"; # change
  usenet = "/srv/media/usenet";
in
{
  fileSystems.${media} = {
    device = "/dev/disk/by-label/media"; # change
    fsType = "ext4";
  };

  # A secret is a file on the machine. Without sops-nix: any path that root can read.
  sops.secrets = {
    rclone = { }; # what `rclone config` wrote, with the application key of B2
    sabnzbd = { }; # SABnzbd: Config, General, API Key
    jellyfin = { }; # Jellyfin: Dashboard, API Keys
    notify = { }; # addresses of apprise, one on each line
  };

  services.mediapipe = {
    enable = true;
    createFolders = true;

    secrets = {
      "rclone.conf" = config.sops.secrets.rclone.path;
      "sabnzbd-api-key" = config.sops.secrets.sabnzbd.path;
      "jellyfin-api-key" = config.sops.secrets.jellyfin.path;
      "notify-urls" = config.sops.secrets.notify.path;
    };

    settings = {
      paths.completed = "${media}/completed";
      paths.require_mounts = [ media ];
      rclone.remote = "b2:my-bucket"; # change
      libraries = {
        tv = {
          root = "${media}/tv";
          remote = "tv";
          category = "tv-sonarr";
          arr = "sonarr";
        };
        movies = {
          root = "${media}/movies";
          remote = "movies";
          category = "radarr";
          arr = "radarr";
        };
      };
      sabnzbd = {
        url = "http://127.0.0.1:8085";
        complete_dir = "/data/complete";
        host_complete_dir = "${usenet}/complete";
        host_incomplete_dir = "${usenet}/incomplete";
        destinations = {
          tv = "${usenet}/tv";
          movies = "${usenet}/movies";
          "*" = "${usenet}/other";
        };
      };
    };

    sabnzbdHook.enable = true;
    webDashboard.enable = true;
    webDashboard.virtualHost = "box.lan"; # change

    # Programs that give up when the app they need is still starting.
    # waitFor.podman-soularr = "lidarr";
  };

  services.qbittorrent = {
    enable = true;
    openFirewall = true;
    serverConfig = {
      LegalNotice.Accepted = true;
      Preferences.WebUI.LocalHostAuth = false; # mediapipe asks from this host
      BitTorrent.Session = {
        DefaultSavePath = "${media}/completed";
        DisableAutoTMMByDefault = false; # a torrent goes where its category says
      };
    };
  };
  services.sonarr.enable = true;
  services.radarr.enable = true;
  services.prowlarr.enable = true;
  services.jellyfin.enable = true;

  # What these create must be writable for the group, or nobody but they could delete it.
  systemd.services = lib.genAttrs [ "qbittorrent" "sonarr" "radarr" ] (_: {
    serviceConfig.UMask = lib.mkForce "0002";
  });

  # A container knows users by their numbers alone.
  users.users.media.uid = 8000;
  users.groups.media.gid = 8000;

  systemd.tmpfiles.settings.sabnzbd =
    lib.genAttrs [ "/var/lib/sabnzbd" usenet "${usenet}/complete" "${usenet}/incomplete" ]
      (_: {
        d = {
          mode = "2770";
          user = "media";
          group = "media";
        };
      });

  virtualisation.podman.enable = true;
  virtualisation.oci-containers.backend = "podman";
  virtualisation.oci-containers.containers.sabnzbd = {
    image = "lscr.io/linuxserver/sabnzbd:latest";
    ports = [ "8085:8080" ];
    environment = {
      PUID = "8000";
      PGID = "8000";
      UMASK = "002";
    };
    volumes = [
      "/var/lib/sabnzbd:/config"
      "${usenet}:/data"
    ];
  };
}
