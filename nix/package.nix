# mediapipe with all that it starts: pkgs.callPackage ./nix/package.nix { }
{
  lib,
  coreutils,
  python3Packages,
  rclone,
  unar,
  util-linux,
}:
let
  pyproject = lib.importTOML ../pyproject.toml;
  # "pyarr>=5.2.0,<6" -> pyarr
  nameOf = requirement: builtins.head (builtins.match "([A-Za-z0-9_-]+).*" requirement);
  version = builtins.match ''.*__version__ = "([^"]+)".*'' (
    builtins.readFile ../mediapipe/__init__.py
  );
in
python3Packages.buildPythonApplication {
  pname = pyproject.project.name;
  version = builtins.head version;
  pyproject = true;
  src = lib.cleanSource ../.;

  build-system = [ python3Packages.hatchling ];
  dependencies = map (one: python3Packages.${nameOf one}) pyproject.project.dependencies;

  # util-linux for setpriv and prlimit, without which children outlive us and have no limits.
  makeWrapperArgs = [
    "--prefix"
    "PATH"
    ":"
    (lib.makeBinPath [
      rclone
      unar
      util-linux
      coreutils
    ])
  ];

  postInstall = ''
    make install-units PREFIX="$out" DESTDIR=
    sed -i 's,=/bin/kill ,=${coreutils}/bin/kill ,' "$out"/lib/systemd/system/*.service
    python scripts/manpages.py docs/reference "$out/share/man"
  '';

  # Hooks run inside of containers, which have no Nix store: they keep their #!/bin/sh.
  postFixup = ''
    install -D -m 0755 -t "$out/share/mediapipe" ${../systemd}/*.sh
  '';

  # The tests start real servers and a systemd of their own: `make test` in a checkout.
  doCheck = false;
  pythonImportsCheck = [ "mediapipe.cli" ];

  meta = {
    inherit (pyproject.project) description;
    mainProgram = "mediapipe";
    platforms = lib.platforms.linux;
  };
}
