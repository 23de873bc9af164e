# The words of the configuration (mediapipe/units.py) as option types.
# `mediapipe config check` looks closer, at build time.
{ lib, toml }:
let
  inherit (lib) types;
  described = description: pattern: types.strMatching pattern // { inherit description; };
in
{
  absolutePath = described "absolute path" "/.*[^/].*";
  duration = described ''duration such as "90s", "2m", "1h30m" or "7d"'' "([0-9]+[wdhms])+";
  size = described ''size such as "512M" or "150G" (powers of 1024)'' "[0-9]+([.][0-9]+)?[KMGTP]?";
  secretFile = described "absolute path, name of a secret, or blank" "(/.*|[A-Za-z0-9_.-]*)";
  # An unknown key is let through here, and refused at build time with the nearest known one.
  table =
    options:
    types.submoduleWith {
      description = "table";
      shorthandOnlyDefinesConfig = true;
      modules = [
        {
          freeformType = toml.type;
          inherit options;
        }
      ];
    };
}
