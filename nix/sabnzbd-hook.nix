# SABnzbd in a container: the script that tells of each finished job, and the folder it tells it in.
{ config, lib, ... }:
let
  cfg = config.services.mediapipe;
  hook = cfg.sabnzbdHook;
in
{
  options.services.mediapipe.sabnzbdHook = {
    enable = lib.mkEnableOption "the hook by which SABnzbd tells of each finished job";

    container = lib.mkOption {
      type = lib.types.str;
      default = "sabnzbd";
      description = "The container of `virtualisation.oci-containers` that SABnzbd runs in.";
    };

    scripts = lib.mkOption {
      type = lib.types.str;
      default = "/scripts";
      description = ''
        The folder in the container that gets the script. SABnzbd must be told it: Config, Folders,
        Scripts Folder; then Config, Categories, Script: `sabnzbd-hook.sh`.
      '';
    };
  };

  config = lib.mkIf (cfg.enable && hook.enable && cfg.settings.sabnzbd != null) {
    # podman does not start a container whose volume is missing.
    systemd.tmpfiles.settings.mediapipe.${cfg.settings.sabnzbd.spool}.d = {
      mode = "2770";
      inherit (cfg) user group;
    };

    virtualisation.oci-containers.containers.${hook.container}.volumes = [
      "${cfg.package}/share/mediapipe/sabnzbd-hook.sh:${hook.scripts}/sabnzbd-hook.sh:ro"
      "${cfg.settings.sabnzbd.spool}:/spool"
    ];
  };
}
