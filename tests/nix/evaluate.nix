# What a configuration comes to, as data: evaluate.nix { configuration = ./x.nix; }
{
  configuration,
  libPath ? ./lib.nix,
  package ? "/opt/mediapipe",
}:
let
  lib = import libPath;
  program = {
    type = "derivation";
    name = "mediapipe";
    outPath = package;
  };
  pkgs = {
    callPackage = _: _: program;
    formats.toml = _: {
      type = lib.types.anything;
      generate = name: value: builtins.toFile name (builtins.toJSON value);
    };
    runCommand =
      name: _: script:
      program
      // {
        outPath = "/checked/${name}";
        inherit script;
      };
  };
  evaluated = lib.evalModules {
    specialArgs = { inherit pkgs; };
    modules = [
      ./nixos.nix
      ../../nix/module.nix
      configuration
    ];
  };
  inherit (evaluated) config;
  cfg = config.services.mediapipe;
in
{
  inherit (config) warnings;
  failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  settings = cfg.settings;
  check = cfg.configFile.script or null;
  inherit (config.systemd) services timers paths;
  tmpfiles = config.systemd.tmpfiles.settings;
  users = config.users;
  containers = config.virtualisation.oci-containers.containers;
  neighbours = lib.genAttrs [ "qbittorrent" "sonarr" "radarr" "sabnzbd" ] (
    name: config.services.${name}.group
  );
  nginx = config.services.nginx;
  fuse = config.programs.fuse;
}
