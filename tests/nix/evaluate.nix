# What a configuration comes to, as data; with `-A configFile` the build of its config.toml.
{
  configuration ? { },
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
  toml =
    value:
    if builtins.isAttrs value then
      "{ ${builtins.concatStringsSep ", " (entries value)} }"
    else if builtins.isList value then
      "[${builtins.concatStringsSep ", " (map toml value)}]"
    else
      builtins.toJSON value;
  entries = table: lib.mapAttrsToList (key: value: "${builtins.toJSON key} = ${toml value}") table;
  pkgs = {
    callPackage = _: _: program;
    coreutils = "/usr";
    formats.toml = _: {
      type = lib.types.anything;
      generate =
        name: value: builtins.toFile name (builtins.concatStringsSep "\n" (entries value) + "\n");
    };
    runCommand =
      name: _: script:
      derivation {
        inherit name script;
        system = builtins.currentSystem;
        builder = "/bin/sh";
        args = [
          "-euc"
          script
        ];
        PATH = "/usr/bin:/bin";
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

  # Every option of ours, also those inside of tables.
  options =
    loc: tree:
    lib.concatLists (
      lib.mapAttrsToList (
        key: option:
        let
          here = loc ++ [ key ];
          inner = if option.type ? getSubOptions then option.type.getSubOptions here else { };
        in
        if key == "_module" || key == "_freeformOptions" then
          [ ]
        else if option._type or "" != "option" then
          options here option
        else
          [
            {
              name = lib.concatStringsSep "." here;
              type = option.type.description;
              description = option.description or "";
              default =
                if option ? defaultText then
                  option.defaultText.text
                else if option ? default then
                  option.default
                else
                  "";
              literal = option ? defaultText;
              required = !(option ? default) && !(option ? defaultText) && !(option.readOnly or false);
            }
          ]
          ++ options (here ++ lib.optional (nested option.type) "<name>") (
            builtins.removeAttrs inner [ "_module" ]
          )
      ) tree
    );
  nested = type: lib.hasPrefix "attribute set of" type.description;
in
{
  data = {
    inherit (config) warnings;
    failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
    inherit (config.services.mediapipe) settings;
    inherit (config.systemd) services timers paths;
    tmpfiles = config.systemd.tmpfiles.settings.mediapipe or { };
    inherit (config) users;
    containers = config.virtualisation.oci-containers.containers;
    groups = lib.genAttrs [ "qbittorrent" "sonarr" "radarr" "sabnzbd" ] (
      name: config.services.${name}.group
    );
    nginx = config.services.nginx;
    allowOther = config.programs.fuse.userAllowOther;
  };
  inherit (config.services.mediapipe) configFile;
  options = options [ "services" "mediapipe" ] evaluated.options.services.mediapipe;
}
