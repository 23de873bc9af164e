# Short addresses in front of the web interfaces: http://box/sonarr/ leads to Sonarr's own port.
# A redirect, no proxy: nothing is opened that is not open already, and no app needs a base URL.
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.services.mediapipe;
  dashboard = cfg.webDashboard;
  on = name: options.services ? ${name} && config.services.${name}.enable;
  portOf = name: port: if on name then port config.services.${name} else null;
  portOfArr = name: port: portOf name (service: service.settings.server.port or port);
  rcPort = builtins.match ".*:([0-9]+)" cfg.settings.rclone.rc_addr;
in
{
  options.services.mediapipe.webDashboard = {
    enable = lib.mkEnableOption "short addresses for the web interfaces, by services.nginx";

    virtualHost = mkOption {
      type = types.str;
      default = "localhost";
      example = "box.lan";
      description = "The virtual host of `services.nginx` that gets the addresses.";
    };

    ports = mkOption {
      type = types.attrsOf (types.nullOr types.port);
      default = { };
      defaultText = lib.literalExpression "those of the services of this machine";
      example = {
        files = 8081;
        qbt = 8090;
      };
      description = ''
        Where each address leads to: `sonarr = 8989` sends /sonarr/ to port 8989 of the same host.
        The services of this machine stand here already; null leaves one out.
      '';
    };
  };

  config = lib.mkIf (cfg.enable && dashboard.enable) {
    services.mediapipe.webDashboard.ports = lib.mapAttrs (_: mkDefault) {
      qbt = portOf "qbittorrent" (service: service.webuiPort);
      jellyfin = portOf "jellyfin" (_: 8096);
      files = portOf "filebrowser" (service: service.settings.port or 8080);
      rclone = if cfg.mount.enable && rcPort != null then lib.toInt (builtins.head rcPort) else null;
      sonarr = portOfArr "sonarr" 8989;
      radarr = portOfArr "radarr" 7878;
      prowlarr = portOfArr "prowlarr" 9696;
    };

    services.nginx.enable = mkDefault true;
    services.nginx.virtualHosts.${dashboard.virtualHost}.locations = lib.mapAttrs' (
      name: port:
      lib.nameValuePair "/${name}/" { return = mkDefault "302 http://$host:${toString port}/"; }
    ) (lib.filterAttrs (_: port: port != null) dashboard.ports);
  };
}
