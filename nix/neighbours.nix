# What follows from other services of the same machine. All of it is a default (mkDefault): whoever
# says something else in their own configuration is not contradicted.
{
  config,
  lib,
  options,
  ...
}:
let
  inherit (lib) mkDefault mkIf optionalAttrs;
  cfg = config.services.mediapipe;
  shipped = import ./shipped.nix { inherit lib; };

  # An older nixpkgs may lack the module; nothing may be said about it then.
  known = name: options.services ? ${name};
  on = name: known name && config.services.${name}.enable;

  service = name: config.services.${name};
  local = port: "http://127.0.0.1:${toString port}";

  # nixpkgs keeps a trailing slash in qBittorrent's profileDir.
  profile = lib.removeSuffix "/" (toString (service "qbittorrent").profileDir);
  session = (service "qbittorrent").serverConfig.BitTorrent.Session or { };
  completed = session.DefaultSavePath or "${profile}/completed";
  webPort = (service "qbittorrent").webuiPort;

  arrs = {
    sonarr = 8989;
    radarr = 7878;
    lidarr = 8686;
    prowlarr = 9696;
  };
  portOf = name: (service name).settings.server.port or arrs.${name};
  # Read by systemd itself, so that its owner's mode is no obstacle; a new key needs no copying.
  keyOf = name: "${(service name).dataDir or "/var/lib/${name}"}/config.xml";

  # These make files and folders that the jobs later link, prove and delete.
  writers = builtins.filter on [
    "qbittorrent"
    "sonarr"
    "radarr"
    "lidarr"
    "sabnzbd"
  ];
  everyone = writers ++ builtins.filter on [
    "prowlarr"
    "jellyfin"
  ];
  # These ask the apps, or hand them something.
  jobs = builtins.filter (stem: shipped.has stem "service") (
    lib.concatMap (part: lib.optionals cfg.${part}.enable shipped.stems.${part}) [
      "upload"
      "cleanup"
      "postprocess"
      "doctor"
    ]
  );

  # The bit that forbids the group to write.
  closed =
    name:
    let
      umask = toString config.systemd.services.${name}.serviceConfig.UMask;
    in
    builtins.match ".*[2367][0-7]" umask != null;

  inTheGroup =
    name:
    optionalAttrs (known name) { ${name} = mkIf (on name) { group = mkDefault cfg.group; }; };
in
{
  config = mkIf cfg.enable {
    services = lib.mkMerge (
      [
        {
          mediapipe.settings = lib.mkMerge [
            (mkIf (on "qbittorrent") {
              qbittorrent.url = mkDefault (local (if webPort == null then 8080 else webPort));
              paths.completed = mkDefault completed;
              paths.extracted = mkDefault "${builtins.dirOf cfg.settings.paths.completed}/extracted";
              categories = mkDefault {
                tv-sonarr = "${cfg.settings.paths.completed}/tv";
                radarr = "${cfg.settings.paths.completed}/movies";
              };
            })
            (mkIf (on "jellyfin" && cfg.secrets ? jellyfin-api-key) {
              jellyfin.url = mkDefault (local 8096);
            })
            (mkIf (on "sabnzbd" && cfg.secrets ? sabnzbd-api-key) {
              sabnzbd.url = mkDefault (local ((service "sabnzbd").settings.misc.port or 8080));
            })
            {
              arr = lib.mkMerge (
                map (
                  name:
                  mkIf (on name) {
                    ${name} = {
                      url = mkDefault (local (portOf name));
                      api_key_file = mkDefault "${name}-api-key";
                    };
                  }
                ) (builtins.attrNames arrs)
              );
            }
          ];
          mediapipe.secrets = lib.mkMerge (
            map (name: mkIf (on name) { "${name}-api-key" = mkDefault (keyOf name); }) (
              builtins.attrNames arrs
            )
          );
        }
      ]
      ++ map inTheGroup [
        "qbittorrent"
        "sonarr"
        "radarr"
        "lidarr"
        "sabnzbd"
      ]
    );

    # It reads, and nothing else.
    users.users = optionalAttrs (known "jellyfin") (
      mkIf (on "jellyfin") { ${(service "jellyfin").user}.extraGroups = [ cfg.group ]; }
    );

    systemd.services = lib.mkMerge [
      (lib.genAttrs writers (_: {
        serviceConfig.UMask = mkDefault "0002";
      }))
      (lib.genAttrs jobs (_: {
        after = map (name: "${name}.service") everyone;
      }))
    ];

    warnings = map (name: ''
      services.${name} runs with a UMask that shuts its group out of what it creates, so mediapipe
      could not delete there: systemd.services.${name}.serviceConfig.UMask = lib.mkForce "0002";'') (
      builtins.filter closed writers
    );
  };
}
