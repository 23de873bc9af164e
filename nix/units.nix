# Drop-ins for the shipped units: who runs them, with which secrets, and when.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  cfg = config.services.mediapipe;
  shipped = import ./shipped.nix { inherit lib; };
  # A failure is always told: the shipped units name the alert themselves.
  parts = lib.filterAttrs (part: _: cfg.${part}.enable or true) shipped.stems;

  # The enabled parts that have a unit of a kind, as attributes named after the unit.
  having =
    kind: dropIn:
    lib.mkMerge (
      lib.concatLists (
        lib.mapAttrsToList (
          part: stems:
          map (stem: { ${stem} = dropIn part stem; }) (
            builtins.filter (stem: shipped.has stem kind) stems
          )
        ) parts
      )
    );

  wantedBy = shipped.words "WantedBy";

  credential = name: "${name}:${cfg.secrets.${name}}";
  secretsFor =
    stem:
    builtins.filter (
      name: builtins.elem name (shipped.secretsOf stem) || !builtins.elem name shipped.known
    ) (builtins.attrNames cfg.secrets);

  service =
    part: stem:
    let
      mounts = part == "mount";
    in
    {
      wantedBy = wantedBy "${stem}.service";
      # The wrapper of fusermount3 that may mount for an ordinary user.
      path = lib.mkIf mounts [ "/run/wrappers" ];
      # A new generation must neither start a cleanup nor end an upload: the timers do the starting.
      restartIfChanged = !builtins.elem "oneshot" (shipped.words "Type" "${stem}.service");
      # What runs on has read the configuration at its start.
      restartTriggers = [ cfg.configFile ];
      serviceConfig = lib.mkMerge [
        {
          User = cfg.user;
          Group = cfg.group;
          LoadCredential = map credential (secretsFor stem);
        }
        # By root, and only while nothing is mounted. No tmpfiles rule: each switch to a new
        # generation would look at the mount, and hang where that hangs.
        (lib.mkIf mounts { ExecStartPre = [ "-+${makeMountPoint}" ]; })
        cfg.${part}.extraServiceConfig
      ];
    };

  # Where a hung mount lies there already, the program tells so itself.
  makeMountPoint = lib.concatStringsSep " " [
    "${pkgs.coreutils}/bin/timeout --signal=KILL 10"
    "${pkgs.coreutils}/bin/install -d -o ${cfg.user} -g ${cfg.group}"
    (lib.escapeShellArg cfg.settings.rclone.mount_point)
  ];

  timer =
    part: stem:
    let
      own = cfg.${part}.timerConfig;
    in
    lib.mkIf (own != null) {
      wantedBy = wantedBy "${stem}.timer";
      timerConfig = lib.mkMerge [
        own
        # An empty line forgets all times so far. It is the first of them, by the alphabet.
        (lib.mkIf (lib.any (lib.hasPrefix "On") (builtins.attrNames own)) {
          OnActiveSec = lib.mkBefore [ "" ];
        })
      ];
    };

  path = part: stem: {
    wantedBy = wantedBy "${stem}.path";
    pathConfig = lib.mkIf (part == "postprocess" && cfg.settings.sabnzbd != null) {
      DirectoryNotEmpty = [
        ""
        cfg.settings.sabnzbd.spool
      ];
    };
  };

  waiting = app: {
    after = map (unit: "${unit}.service") (
      {
        mount = shipped.stems.mount;
        qbittorrent = [
          "qbittorrent"
          "qbittorrent-nox"
        ];
      }
      .${app} or [
        app
        "podman-${app}"
        "docker-${app}"
      ]
    );
    serviceConfig = {
      ExecStartPre = lib.mkBefore [ "${cfg.package}/bin/mediapipe wait-for ${app}" ];
      LoadCredential = map credential (secretsOfApp app);
    };
  };

  # The app's own secrets alone: the unit that waits is not ours.
  secretsOfApp =
    app:
    let
      table = cfg.settings.arr.${app} or cfg.settings.${app} or null;
      isFile = key: _: lib.hasSuffix "_file" key;
      files = lib.filterAttrs isFile (if table == null then { } else table);
    in
    builtins.filter (name: cfg.secrets ? ${name}) (builtins.attrValues files);

  # With a colon before the mode: for what is created, never for what is there.
  folder =
    mode:
    let
      colon = lib.optionalString (lib.hasPrefix ":" mode) ":";
    in
    {
      inherit mode;
      user = colon + cfg.user;
      group = colon + cfg.group;
    };
in
{
  config = lib.mkIf cfg.enable {
    systemd.packages = [ cfg.package ];
    systemd.services = lib.mkMerge [
      (having "service" service)
      (lib.mapAttrs (_: waiting) cfg.waitFor)
    ];
    systemd.timers = having "timer" timer;
    systemd.paths = having "path" path;

    environment.systemPackages = [ cfg.package ];
    # The hooks for the apps get a name that outlives an update.
    environment.pathsToLink = [ "/share/mediapipe" ];
    environment.etc."mediapipe/config.toml".source = cfg.configFile;

    programs.fuse = lib.mkIf cfg.mount.enable (
      {
        # Without it nobody but the mount's own user sees anything there.
        userAllowOther = lib.mkIf cfg.settings.rclone.mount.allow_other (lib.mkDefault true);
      }
      # Newer ones have a switch for the wrapper of fusermount3.
      // lib.optionalAttrs (options.programs.fuse ? enable) { enable = lib.mkDefault true; }
    );

    users.users = lib.mkIf (cfg.user == "media") {
      media = {
        isSystemUser = true;
        group = cfg.group;
        home = "/var/lib/mediapipe";
      };
    };
    users.groups = lib.mkIf (cfg.group == "media") { media = { }; };

    systemd.tmpfiles.settings.mediapipe = lib.mkMerge [
      { "/var/lib/mediapipe".d = folder "0750"; }
      (lib.mkIf cfg.createFolders (
        lib.genAttrs (lib.unique (
          [
            cfg.settings.paths.completed
            cfg.settings.paths.extracted
          ]
          # With a path map those are folders of a container, not of this host.
          ++ lib.optionals (cfg.settings.qbittorrent.path_map == { }) (
            builtins.attrValues cfg.settings.categories
          )
          ++ map (library: library.root) (builtins.attrValues cfg.settings.libraries)
          ++ lib.optionals (cfg.settings.sabnzbd != null) (
            builtins.attrValues cfg.settings.sabnzbd.destinations
          )
        )) (_: { d = folder ":2775"; })
      ))
    ];
  };
}
