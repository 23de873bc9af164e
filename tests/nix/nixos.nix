# The options of NixOS that our module speaks to, as far as it does. What nothing sets is absent
# from a unit, so that what is rendered is what the module said.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkOption types;
  of = type: default: mkOption { inherit type default; };
  any = of types.anything { };
  texts = of (types.listOf types.str) [ ];
  # As in NixOS: several lists add up, several values must agree.
  line = types.anything // {
    description = "systemd option";
  };
  section = of (types.attrsOf line) { };
  unit =
    sections:
    types.submodule {
      options =
        lib.genAttrs sections (_: section)
        // lib.genAttrs [ "wantedBy" "requiredBy" "wants" "requires" "after" "before" ] (_: texts)
        // {
          unitConfig = section;
          environment = section;
          path = of (types.listOf types.anything) [ ];
          restartIfChanged = of types.bool true;
          restartTriggers = of (types.listOf types.anything) [ ];
        };
    };
  rule = types.submodule {
    options = lib.genAttrs [ "mode" "user" "group" ] (_: of types.str "-");
  };
  units = kind: of (types.attrsOf (unit [ "${kind}Config" ])) { };
  service = more: {
    enable = of types.bool false;
    user = of types.str "own";
    group = of types.str "own";
  } // more;
  arr = port: service {
    dataDir = of types.str "/var/lib/arr";
    settings.server.port = of types.port port;
  };
in
{
  options = {
    assertions = of (types.listOf types.anything) [ ];
    warnings = of (types.listOf types.str) [ ];
    fileSystems = any;
    environment.systemPackages = of (types.listOf types.anything) [ ];
    environment.etc = any;
    environment.pathsToLink = of (types.listOf types.str) [ ];
    programs.fuse.enable = of types.bool false;
    programs.fuse.userAllowOther = of types.bool false;
    boot = any;
    system = any;
    users.users = of (types.attrsOf (
      types.submodule {
        options = {
          isSystemUser = of types.bool false;
          uid = of (types.nullOr types.int) null;
          home = of types.str "/var/empty";
          group = of types.str "";
          extraGroups = texts;
        };
      }
    )) { };
    users.groups = any;
    virtualisation.podman = any;
    virtualisation.oci-containers.backend = of types.str "podman";
    virtualisation.oci-containers.containers = of (types.attrsOf (
      types.submodule {
        options = {
          image = of types.str "";
          volumes = texts;
          ports = texts;
          environment = any;
          user = of types.str "";
          extraOptions = texts;
        };
      }
    )) { };
    systemd = {
      packages = of (types.listOf types.anything) [ ];
      # name of a file -> path -> kind of line
      tmpfiles.settings = of (types.attrsOf (types.attrsOf (types.attrsOf rule))) { };
      services = units "service";
      timers = units "timer";
      paths = units "path";
    };
    services = {
      qbittorrent = service {
        profileDir = of types.str "/var/lib/qBittorrent/";
        webuiPort = of (types.nullOr types.port) 8080;
        serverConfig = any;
        openFirewall = of types.bool false;
      };
      sonarr = arr 8989;
      radarr = arr 7878;
      lidarr = arr 8686;
      prowlarr = {
        enable = of types.bool false;
        settings.server.port = of types.port 9696;
      };
      sabnzbd = service { settings = any; };
      jellyfin = service { };
      nginx = {
        enable = of types.bool false;
        virtualHosts = of (types.attrsOf (
          types.submodule {
            options.locations = of (types.attrsOf (
              types.submodule { options.return = of types.str ""; }
            )) { };
          }
        )) { };
      };
    };
  };
  # As nixpkgs has it: what these create is not writable for their group.
  config.systemd.services = lib.mkMerge (
    map (name: mkIf config.services.${name}.enable { ${name}.serviceConfig.UMask = "0022"; }) [
      "sonarr"
      "radarr"
      "lidarr"
    ]
  );
}
