# What a machine must say of itself before it can be built, and the example leaves to its reader.
{
  boot.loader.grub.device = "nodev";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  sops.secrets = { };
  system.stateVersion = "25.11";
}
