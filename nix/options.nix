# services.mediapipe: what can be said about a machine. What becomes of it: units.nix.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption mkEnableOption types;
  cfg = config.services.mediapipe;
  toml = pkgs.formats.toml { };
  unitLines =
    types.attrsOf (
      types.oneOf [
        types.bool
        types.int
        types.str
        (types.listOf types.str)
      ]
    )
    // {
      description = "lines of a systemd unit";
    };

  on =
    what:
    mkOption {
      type = types.bool;
      default = true;
      description = "Whether to run ${what}.";
    };

  extraServiceConfig = mkOption {
    type = unitLines;
    default = { };
    example = {
      IOWeight = 50;
    };
    description = "Lines for the `[Service]` section, in a drop-in behind the shipped unit.";
  };

  timerConfig = mkOption {
    type = types.nullOr unitLines;
    default = { };
    example = {
      OnCalendar = "hourly";
      RandomizedDelaySec = "10m";
    };
    description = ''
      Lines for the `[Timer]` section. Any `On…=` among them replaces the rhythm of the shipped
      timer. `{ }` leaves it, null switches the timer off.
    '';
  };

  job = what: {
    enable = on what;
    inherit timerConfig extraServiceConfig;
  };
in
{
  options.services.mediapipe = {
    enable = mkEnableOption "mediapipe: finished downloads go to the cloud, and then off the disk";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package that brings the commands and the units.";
    };

    user = mkOption {
      type = types.str;
      default = "media";
      description = "The user that the jobs run as; created if it is `media`.";
    };

    group = mkOption {
      type = types.str;
      default = "media";
      description = ''
        The group that qBittorrent, Sonarr, Radarr and the jobs share; created if it is `media`.
        Every folder of the pipeline must be writable for it.
      '';
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = toml.type;
        options = import ./settings-options.nix { inherit lib toml; };
      };
      default = { };
      description = ''
        `config.toml`, key for key. It is checked at build time, and lies in the Nix store where
        everybody may read it: secrets belong into {option}`services.mediapipe.secrets`.
      '';
    };

    configFile = mkOption {
      type = types.path;
      readOnly = true;
      description = "The checked `config.toml`, which is also /etc/mediapipe/config.toml.";
    };

    secrets = mkOption {
      type = types.attrsOf types.path;
      default = { };
      example = lib.literalExpression ''
        {
          "rclone.conf" = config.sops.secrets.rclone.path;
          "jellyfin-api-key" = config.age.secrets.jellyfin.path;
        }
      '';
      description = ''
        Files with secrets, by the name that `settings` gives them in a `*_file` key. systemd hands
        them to the services (LoadCredential=), so that root alone needs to be able to read them.
        A service gets what its shipped unit asks for, and the names that no unit asks for. A file
        that is missing keeps the services that get it from starting.

        These names need no line in `settings`: `qbittorrent-password`, `qbittorrent-api-key`,
        `rclone.conf`, `rc-htpasswd`, `notify-urls`, `sabnzbd-api-key`, `jellyfin-api-key`.
      '';
    };

    createFolders = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether to create the download folders, those of the categories, the roots of the libraries
        and the destinations of SABnzbd where they are missing, setgid for the group. Existing ones
        are not touched. Not by default: in place of a disk that is not mounted a folder would take
        what belongs there.
      '';
    };

    categories = {
      enable = on "`qbt-categories` at boot";
      inherit extraServiceConfig;
    };
    upload = job "`qbt-upload-b2`";
    cleanup = job "`qbt-cleanup`";
    doctor = job "`mediapipe doctor`";
    postprocess = job "`sab-postprocess`, the SABnzbd mover" // {
      enable = mkOption {
        type = types.bool;
        default = cfg.settings.sabnzbd != null;
        defaultText = lib.literalExpression "config.services.mediapipe.settings.sabnzbd != null";
        description = "Whether to run `sab-postprocess`, the SABnzbd mover.";
      };
    };
    mount = {
      enable = on "`rclone-b2-mount`, which shows the remote at `settings.rclone.mount_point`";
      inherit extraServiceConfig;
    };
    watch = {
      enable = on "`mediapipe watch`, which starts an upload as soon as something is imported";
      inherit extraServiceConfig;
    };
    # Always there: the shipped units name it in OnFailure=.
    alert = {
      inherit timerConfig extraServiceConfig;
    };

    waitFor = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        podman-soularr = "lidarr";
        podman-bazarr = "sonarr";
      };
      description = ''
        Services that must not start before an app answers as itself: unit (without `.service`) to
        app, which is a name in `settings.arr`, `qbittorrent`, `sabnzbd`, `jellyfin` or `mount`.
        The unit is ordered after the app's and gets `ExecStartPre=mediapipe wait-for APP`.
      '';
    };
  };
}
