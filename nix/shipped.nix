# What the units in ../systemd say of themselves. NixOS ignores [Install] of units that a package
# brings (nixpkgs issue 81138), so it is read from them here instead of being repeated.
{ lib }:
let
  folder = ../systemd;
  files = builtins.attrNames (builtins.readDir folder);
in
rec {
  # The units of each part, without their suffixes.
  stems = {
    categories = [ "qbt-categories" ];
    upload = [ "qbt-upload-b2" ];
    cleanup = [ "qbt-cleanup" ];
    postprocess = [ "sab-postprocess" ];
    doctor = [ "mediapipe-doctor" ];
    mount = [ "rclone-b2-mount" ];
    watch = [ "mediapipe-watch" ];
    alert = [
      "mediapipe-alert"
      "mediapipe-alert@"
    ];
  };

  has = stem: kind: builtins.elem "${stem}.${kind}" files;

  # All values of a key of a unit file, split into words.
  words =
    key: unit:
    let
      lines = lib.splitString "\n" (builtins.readFile (folder + "/${unit}"));
      values = map (lib.removePrefix "${key}=") (builtins.filter (lib.hasPrefix "${key}=") lines);
    in
    builtins.filter (word: word != "") (lib.concatMap (lib.splitString " ") values);

  # The secrets that a service asks for by name.
  secretsOf = stem: words "LoadCredential" "${stem}.service";

  # The secrets that any service asks for by name.
  known = lib.unique (
    lib.concatMap (stem: lib.optionals (has stem "service") (secretsOf stem)) (
      lib.concatLists (builtins.attrValues stems)
    )
  );
}
