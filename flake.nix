# No lock file: nixosModules needs none, and whoever uses the package lets nixpkgs follow their own.
{
  description = "Moves finished downloads to Backblaze B2 and frees the disk once that is proven";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEach = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      overlays.default = final: _: { mediapipe-host = final.callPackage ./nix/package.nix { }; };

      nixosModules.default = ./nix/module.nix;

      packages = forEach (pkgs: rec {
        mediapipe-host = pkgs.callPackage ./nix/package.nix { };
        default = mediapipe-host;
      });

      checks = forEach (pkgs: {
        package = pkgs.callPackage ./nix/package.nix { };
        vm = pkgs.testers.runNixOSTest ./nix/tests/vm.nix;
        example =
          (nixpkgs.lib.nixosSystem {
            inherit (pkgs.stdenv.hostPlatform) system;
            modules = [
              self.nixosModules.default
              ./nix/example/builder.nix
              ./nix/tests/bootable.nix
            ];
          }).config.system.build.toplevel;
      });

      # The programs beside the .venv that `make test` fills by itself.
      devShells = forEach (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.python3
            pkgs.gnumake
            pkgs.qbittorrent-nox
            pkgs.unar
            pkgs.fuse3
            pkgs.systemd
          ];
        };
      });
    };
}
