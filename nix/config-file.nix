# settings -> config.toml, checked by the program itself while the system is built.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.mediapipe;

  # TOML has no null: what is null is absent.
  withoutNull =
    value:
    if builtins.isAttrs value then
      lib.mapAttrs (_: withoutNull) (lib.filterAttrs (_: inner: inner != null) value)
    else
      value;

  # A secret with one of the usual names needs no line in `settings`.
  named = name: place: lib.mkIf (cfg.secrets ? ${name}) (place (lib.mkDefault name));

  written = (pkgs.formats.toml { }).generate "mediapipe-config.toml" (withoutNull cfg.settings);
in
{
  config.services.mediapipe = lib.mkMerge [
    {
      configFile = pkgs.runCommand "mediapipe.toml" { } ''
        ${cfg.package}/bin/mediapipe config check ${written}
        cp ${written} $out
      '';
    }
    {
      settings = lib.mkMerge (
        lib.mapAttrsToList named {
          "qbittorrent-password" = name: { qbittorrent.password_file = name; };
          "qbittorrent-api-key" = name: { qbittorrent.api_key_file = name; };
          "rclone.conf" = name: { rclone.config_file = name; };
          "rc-htpasswd" = name: { rclone.rc_htpasswd_file = name; };
          "notify-urls" = name: { notify.urls_file = name; };
          "sabnzbd-api-key" = name: { sabnzbd.api_key_file = name; };
          "jellyfin-api-key" = name: { jellyfin.api_key_file = name; };
        }
      );
    }
  ];
}
