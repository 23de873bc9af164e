# What would only show on the running machine, said while it is being built.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) optionals;
  cfg = config.services.mediapipe;
  settings = cfg.settings;
  here = "services.mediapipe";

  # Everything in `settings`, as { where; key; value; } for each value that is no table.
  leaves =
    where: value:
    if builtins.isAttrs value then
      lib.concatLists (
        lib.mapAttrsToList (
          key: inner:
          if builtins.isAttrs inner then
            leaves "${where}.${key}" inner
          else
            [
              {
                inherit key;
                where = "${where}.${key}";
                value = inner;
              }
            ]
        ) value
      )
    else
      [ ];
  all = leaves "${here}.settings" settings;
  texts = builtins.filter (leaf: builtins.isString leaf.value && leaf.value != "") all;

  inStore = text: lib.hasPrefix "${builtins.storeDir}/" text;
  isFile = leaf: lib.hasSuffix "_file" leaf.key;
  matches = pattern: text: builtins.match pattern text != null;
  secretWord = matches ".*(password|passwd|secret|token|api_?key|credential).*";
  looksSecret =
    leaf:
    # A category may well be called like that; what it names is a folder.
    (secretWord (lib.toLower leaf.key) && !isFile leaf && !lib.hasPrefix "/" leaf.value)
    || matches "[a-z0-9+.-]+://[^/@]*:[^/@]*@.*" leaf.value;
  secretNames = builtins.filter (leaf: isFile leaf && !lib.hasPrefix "/" leaf.value) texts;

  # The longest entry of `fileSystems` that a path lies below; null where none is declared.
  mountOf =
    path:
    let
      holds = point: point == "/" || path == point || lib.hasPrefix "${point}/" path;
      length = builtins.stringLength;
      longest =
        best: point: if best == null || length point > length best then point else best;
    in
    builtins.foldl' longest null (builtins.filter holds (builtins.attrNames config.fileSystems));
  completed = mountOf settings.paths.completed;
  apart =
    library:
    library.category != ""
    && completed != null
    && mountOf library.root != null
    && mountOf library.root != completed;

  roots = map (library: library.root) (builtins.attrValues settings.libraries);
  # Whether the machine boots without the disk of a path.
  late =
    path:
    let
      point = mountOf path;
      options = if point == null then [ ] else config.fileSystems.${point}.options or [ ];
    in
    lib.any (option: builtins.elem option options) [
      "nofail"
      "noauto"
      "x-systemd.automount"
    ];

  apps =
    [
      "qbittorrent"
      "mount"
    ]
    ++ optionals (settings.sabnzbd != null) [ "sabnzbd" ]
    ++ optionals (settings.jellyfin != null) [ "jellyfin" ]
    ++ builtins.attrNames settings.arr;
  needsRemote = builtins.filter (part: cfg.${part}.enable) [
    "upload"
    "cleanup"
    "mount"
  ];

  mistake = wrong: message: {
    assertion = !wrong;
    inherit message;
  };
in
{
  config = lib.mkIf cfg.enable {
    assertions =
      map (
        leaf:
        mistake (looksSecret leaf) ''
          ${leaf.where} holds a secret, and everybody may read the Nix store.
          Put it into a file and say ${here}.secrets."NAME" = "/run/secrets/NAME"; then set the
          matching key that ends in _file to "NAME".''
      ) texts
      ++ map (
        leaf:
        mistake (!(cfg.secrets ? ${leaf.value})) ''
          ${leaf.where} names a secret that ${here}.secrets does not have.
          Say there which file holds it: ${here}.secrets."NAME" = "/run/secrets/NAME";
          the secret itself never stands in a *_file key.''
      ) secretNames
      ++ map (
        leaf:
        mistake (isFile leaf && inStore leaf.value) ''
          ${leaf.where} lies in the Nix store, where everybody may read it.
          Use a file that sops-nix, agenix or you yourself put elsewhere.''
      ) texts
      ++ lib.mapAttrsToList (
        name: file:
        mistake (builtins.isPath file || inStore (toString file)) ''
          ${here}.secrets."${name}" is copied into the Nix store, where everybody may read it.
          Write the path as a string: "/run/secrets/${name}".''
      ) cfg.secrets
      ++ lib.mapAttrsToList (
        name: library:
        mistake (apart library) ''
          The library ${here}.settings.libraries.${name}.root (${library.root}) lies on another file
          system (${toString (mountOf library.root)}) than settings.paths.completed
          (${settings.paths.completed}, on ${toString completed}). Hard links cannot cross file
          systems: imports would be copies that take the space twice. Put both below one mount
          point, or say category = "" for a library that torrents do not fill.''
      ) settings.libraries
      ++ [
        (mistake (settings.rclone.config_file == "" && needsRemote != [ ]) ''
          ${here} cannot reach ${settings.rclone.remote} without rclone's configuration, which
          ${lib.concatStringsSep ", " needsRemote} need. Write it with `rclone config`, and say
          ${here}.secrets."rclone.conf" = "/run/secrets/rclone.conf";'')
        (mistake (cfg.postprocess.enable && settings.sabnzbd == null) ''
          ${here}.postprocess.enable needs to know where SABnzbd is: set ${here}.settings.sabnzbd
          (url, complete_dir, host_complete_dir, destinations).'')
        (mistake (cfg.sabnzbdHook.enable && settings.sabnzbd == null) ''
          ${here}.sabnzbdHook.enable tells of jobs that nothing moves: set ${here}.settings.sabnzbd
          (url, complete_dir, host_complete_dir, destinations).'')
        (mistake (cfg.mount.enable && config.fileSystems ? ${settings.rclone.mount_point}) ''
          Both ${here}.mount and fileSystems."${settings.rclone.mount_point}" would mount there.
          Keep one: ${here}.mount.enable = false; or remove the entry of fileSystems.'')
        (mistake (settings.paths.state != "/var/lib/mediapipe") ''
          ${here}.settings.paths.state cannot be moved: the units have systemd keep it in
          /var/lib/mediapipe. Mount another disk there if it must lie elsewhere.'')
      ]
      ++ map (
        path:
        mistake (cfg.createFolders && late path) ''
          ${here}.createFolders would make ${path} before its disk is there: fileSystems lets the
          machine boot without it (nofail, noauto, x-systemd.automount). Create the folders by hand
          and set createFolders = false; or let the disk be waited for.''
      ) ([ settings.paths.completed ] ++ roots)
      ++ lib.mapAttrsToList (
        unit: app:
        mistake (!builtins.elem app apps) ''
          ${here}.waitFor.${unit} = "${app}": there is no such app. It can be
          ${lib.concatStringsSep ", " apps}; declare others in ${here}.settings.arr.''
      ) cfg.waitFor;
  };
}
