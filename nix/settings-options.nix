# Written by `make nix-options` from mediapipe/config.py, with the words of config.example.toml.
{ lib, toml }:
let
  inherit (lib) mkOption types;
  inherit (import ./types.nix { inherit lib toml; })
    absolutePath
    duration
    secretFile
    size
    table
    ;
in
{
  paths = mkOption {
    type = table {
      completed = mkOption {
        type = absolutePath;
        default = "/var/lib/qBittorrent/completed";
        description = "`[paths] completed`: qBittorrent's finished downloads; category folders lie below it";
      };
      extracted = mkOption {
        type = absolutePath;
        default = "/var/lib/qBittorrent/extracted";
        description = "`[paths] extracted`: scratch for archives, emptied after each item";
      };
      state = mkOption {
        type = absolutePath;
        default = "/var/lib/mediapipe";
        description = "`[paths] state`: systemd's $STATE_DIRECTORY wins where it is set";
      };
      require_mounts = mkOption {
        type = types.listOf absolutePath;
        default = [ ];
        description = "`[paths] require_mounts`: mount points that must be mounted before any job runs";
      };
    };
    default = { };
    description = "`[paths]`";
  };
  qbittorrent = mkOption {
    type = table {
      url = mkOption {
        type = types.str;
        default = "http://127.0.0.1:8080";
        description = "`[qbittorrent] url`";
      };
      username = mkOption {
        type = types.str;
        default = "";
        description = "`[qbittorrent] username`: blank: localhost needs no login";
      };
      password_file = mkOption {
        type = secretFile;
        default = "";
        description = "`[qbittorrent] password_file`";
      };
      api_key_file = mkOption {
        type = secretFile;
        default = "";
        description = "`[qbittorrent] api_key_file`: qBittorrent 5.2 and newer";
      };
      timeout = mkOption {
        type = duration;
        default = "10s";
        description = "`[qbittorrent] timeout`: for one request";
      };
      path_map = mkOption {
        type = types.attrsOf absolutePath;
        default = { };
        description = "`[qbittorrent] path_map`: as qBittorrent sees it -> as this host sees it; the longest prefix wins";
      };
    };
    default = { };
    description = "`[qbittorrent]`";
  };
  categories = mkOption {
    type = types.attrsOf absolutePath;
    default = { "tv-sonarr" = "/var/lib/qBittorrent/completed/tv"; "radarr" = "/var/lib/qBittorrent/completed/movies"; };
    description = "`[categories]`: name -> save path, as qBittorrent sees it";
  };
  libraries = mkOption {
    type = types.attrsOf (table {
      root = mkOption {
        type = absolutePath;
        description = "`[libraries.<name>] root`";
      };
      remote = mkOption {
        type = types.str;
        description = "`[libraries.<name>] remote`: folder below [rclone] remote";
      };
      category = mkOption {
        type = types.str;
        default = "";
        description = "`[libraries.<name>] category`: a category without a library counts as uncategorized";
      };
      arr = mkOption {
        type = types.str;
        default = "";
        description = "`[libraries.<name>] arr`: table [arr.sonarr]; \"\" for none";
      };
      after_delete = mkOption {
        type = types.enum [ "delete" "symlink" "keep" ];
        default = "delete";
        description = "`[libraries.<name>] after_delete`: the library link at cleanup: delete | symlink (into the mount) | keep";
      };
      without_torrent = mkOption {
        type = types.either (types.enum [ "keep" ]) (duration);
        default = "keep";
        description = "`[libraries.<name>] without_torrent`: media that no torrent holds: keep | a duration since first seen so";
      };
    });
    default = { "tv" = { "root" = "/media/arr/tv"; "remote" = "tv"; "category" = "tv-sonarr"; "arr" = "sonarr"; }; "movies" = { "root" = "/media/arr/movies"; "remote" = "movies"; "category" = "radarr"; "arr" = "radarr"; }; };
    description = "`[libraries]`: one table for each library; these two are the defaults where no [libraries] stands";
  };
  rclone = mkOption {
    type = table {
      remote = mkOption {
        type = types.str;
        default = "b2:entertainment-netmount";
        description = "`[rclone] remote`";
      };
      binary = mkOption {
        type = types.str;
        default = "rclone";
        description = "`[rclone] binary`: 1.73.5 or newer; the one installed with us wins over PATH";
      };
      config_file = mkOption {
        type = secretFile;
        default = "";
        description = "`[rclone] config_file`: blank: rclone's own default";
      };
      mount_point = mkOption {
        type = absolutePath;
        default = "/media/b2";
        description = "`[rclone] mount_point`";
      };
      rc_addr = mkOption {
        type = types.str;
        default = "127.0.0.1:5572";
        description = "`[rclone] rc_addr`: the mount's remote control: HOST:PORT or unix:///PATH; told of uploads";
      };
      rc_htpasswd_file = mkOption {
        type = secretFile;
        default = "";
        description = "`[rclone] rc_htpasswd_file`: logins of it for people, and the web GUI: htpasswd -B FILE USER";
      };
      mount = mkOption {
        type = table {
          vfs_cache_mode = mkOption {
            type = types.str;
            default = "full";
            description = "`[rclone.mount] vfs_cache_mode`";
          };
          vfs_cache_max_size = mkOption {
            type = size;
            default = "150G";
            description = "`[rclone.mount] vfs_cache_max_size`";
          };
          vfs_cache_max_age = mkOption {
            type = duration;
            default = "7d";
            description = "`[rclone.mount] vfs_cache_max_age`";
          };
          vfs_cache_min_free_space = mkOption {
            type = size;
            default = "20G";
            description = "`[rclone.mount] vfs_cache_min_free_space`";
          };
          dir_cache_time = mkOption {
            type = duration;
            default = "1m";
            description = "`[rclone.mount] dir_cache_time`";
          };
          buffer_size = mkOption {
            type = size;
            default = "16M";
            description = "`[rclone.mount] buffer_size`";
          };
          vfs_read_ahead = mkOption {
            type = size;
            default = "1G";
            description = "`[rclone.mount] vfs_read_ahead`";
          };
          vfs_read_chunk_size = mkOption {
            type = size;
            default = "16M";
            description = "`[rclone.mount] vfs_read_chunk_size`: with 4 streams; larger ones take 7 times the memory and are no faster (ADR 16)";
          };
          vfs_read_chunk_streams = mkOption {
            type = types.int;
            default = 4;
            description = "`[rclone.mount] vfs_read_chunk_streams`";
          };
          vfs_fast_fingerprint = mkOption {
            type = types.bool;
            default = true;
            description = "`[rclone.mount] vfs_fast_fingerprint`";
          };
          allow_other = mkOption {
            type = types.bool;
            default = true;
            description = "`[rclone.mount] allow_other`: needs user_allow_other in /etc/fuse.conf";
          };
          extra_args = mkOption {
            type = types.listOf types.str;
            default = [ ];
            description = "`[rclone.mount] extra_args`: further options, which win; it stays read-only";
          };
        };
        default = { };
        description = "`[rclone] mount`: flags of `rclone mount`, with - for _";
      };
    };
    default = { };
    description = "`[rclone]`";
  };
  upload = mkOption {
    type = table {
      uncategorized_remote = mkOption {
        type = types.str;
        default = "downloads";
        description = "`[upload] uncategorized_remote`: where completed/ items outside every category go";
      };
      settle = mkOption {
        type = duration;
        default = "1m";
        description = "`[upload] settle`: an item is taken once nothing in it changed for this long";
      };
      transfers = mkOption {
        type = types.int;
        default = 4;
        description = "`[upload] transfers`";
      };
      stats_interval = mkOption {
        type = duration;
        default = "30s";
        description = "`[upload] stats_interval`: a progress line, and rclone's heartbeat";
      };
      stall_timeout = mkOption {
        type = duration;
        default = "15m";
        description = "`[upload] stall_timeout`: no byte moved for this long: the child is ended";
      };
      bandwidth = mkOption {
        type = types.str;
        default = "";
        description = "`[upload] bandwidth`: rclone --bwlimit, also a schedule: \"08:00,2M 23:00,off\"";
      };
      unfinished = mkOption {
        type = types.listOf types.str;
        default = [ "*.!qB" "*.part" "*.partial~" "*.parts" ];
        description = "`[upload] unfinished`";
      };
      ignore = mkOption {
        type = types.listOf types.str;
        default = [ ".nfs*" ".fuse_hidden*" "*.uploaded" "._*" ".DS_Store" "Thumbs.db" ".mediapipe*" ];
        description = "`[upload] ignore`";
      };
      leftovers = mkOption {
        type = types.enum [ "upload" "keep" ];
        default = "upload";
        description = "`[upload] leftovers`: files of a due torrent that nothing uploaded: upload | keep (and keep the torrent)";
      };
      batch = mkOption {
        type = size;
        default = "50G";
        description = "`[upload] batch`: at most this much, and 500 files, for each child";
      };
      max_extracted_size = mkOption {
        type = size;
        default = "200G";
        description = "`[upload] max_extracted_size`: an archive that would unpack to more is refused";
      };
      extra_args = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "`[upload] extra_args`: further options of rclone copy";
      };
    };
    default = { };
    description = "`[upload]`";
  };
  cleanup = mkOption {
    type = table {
      seeding_time = mkOption {
        type = duration;
        default = "7d";
        description = "`[cleanup] seeding_time`";
      };
      orphan_grace = mkOption {
        type = duration;
        default = "10m";
        description = "`[cleanup] orphan_grace`: a download without torrent must be seen so for this long, in two runs";
      };
      max_deletes = mkOption {
        type = types.int;
        default = 500;
        description = "`[cleanup] max_deletes`: files in one run; one torrent always fits";
      };
      max_torrent_loss = mkOption {
        type = types.number;
        default = 0.5;
        description = "`[cleanup] max_torrent_loss`: a larger share of torrents gone without our doing stops all orphans";
      };
      links_elsewhere = mkOption {
        type = types.enum [ "keep" "ignore" ];
        default = "keep";
        description = "`[cleanup] links_elsewhere`: a hard link outside libraries and downloads: keep | ignore";
      };
      min_ratio = mkOption {
        type = types.number;
        default = 0.0;
        description = "`[cleanup] min_ratio`";
      };
      discardable = mkOption {
        type = types.listOf types.str;
        default = [ "*.nfo" "*.txt" "*.url" "*.jpg" "*.jpeg" "*.png" "*.sfv" "*.md5" "*.srr" "*.srs" "*.nzb" "sample" "sample.*" "*[-._ ]sample.*" ];
        description = "`[cleanup] discardable`";
      };
      categories = mkOption {
        type = types.attrsOf (table {
          seeding_time = mkOption {
            type = types.nullOr (duration);
            default = null;
            description = "`[cleanup.categories.<name>] seeding_time`";
          };
          min_ratio = mkOption {
            type = types.nullOr (types.number);
            default = null;
            description = "`[cleanup.categories.<name>] min_ratio`";
          };
        });
        default = { };
        description = "`[cleanup] categories`: optional, for each category";
      };
    };
    default = { };
    description = "`[cleanup]`";
  };
  sabnzbd = mkOption {
    type = types.nullOr (table {
      url = mkOption {
        type = types.str;
        default = "http://127.0.0.1:8080";
        description = "`[sabnzbd] url`";
      };
      api_key_file = mkOption {
        type = secretFile;
        default = "sabnzbd-api-key";
        description = "`[sabnzbd] api_key_file`: the API key, not the NZB key; \"\": what the hook script tells decides alone";
      };
      complete_dir = mkOption {
        type = absolutePath;
        default = "/data/complete";
        description = "`[sabnzbd] complete_dir`: as SABnzbd sees it";
      };
      host_complete_dir = mkOption {
        type = absolutePath;
        default = "/mnt/storage/data/complete";
        description = "`[sabnzbd] host_complete_dir`: the same folder on this host";
      };
      host_incomplete_dir = mkOption {
        type = absolutePath;
        default = "/mnt/storage/data/incomplete";
        description = "`[sabnzbd] host_incomplete_dir`";
      };
      category_folders = mkOption {
        type = types.attrsOf types.str;
        default = { };
        description = "`[sabnzbd] category_folders`: SABnzbd category -> its folder below complete_dir, where that is not its own name";
      };
      spool = mkOption {
        type = absolutePath;
        default = "/var/lib/mediapipe/sabnzbd";
        description = "`[sabnzbd] spool`: where the hook script drops its files, as this host sees it";
      };
      destinations = mkOption {
        type = types.attrsOf absolutePath;
        default = { "tv" = "/mnt/storage/data/usenet/tv"; "movies" = "/mnt/storage/data/usenet/movies"; "*" = "/mnt/storage/data/usenet/other"; };
        description = "`[sabnzbd] destinations`: SABnzbd category -> folder on this host; \"*\": all others. They have to be there";
      };
      arr = mkOption {
        type = types.attrsOf types.str;
        default = { };
        description = "`[sabnzbd] arr`: SABnzbd category -> the [arr.NAME] to tell; default: that of the library of this name or category";
      };
    });
    default = null;
    description = "`[sabnzbd]`: absent: sab-postprocess does nothing, and says so";
  };
  arr = mkOption {
    type = types.attrsOf (table {
      url = mkOption {
        type = types.str;
        description = "`[arr.<name>] url`";
      };
      api_key_file = mkOption {
        type = secretFile;
        description = "`[arr.<name>] api_key_file`: a file with the key, or the app's own config.xml";
      };
      kind = mkOption {
        type = types.enum [ "" "sonarr" "radarr" "lidarr" "prowlarr" ];
        default = "";
        description = "`[arr.<name>] kind`: sonarr | radarr | lidarr | prowlarr; default: the table's name";
      };
      timeout = mkOption {
        type = duration;
        default = "10s";
        description = "`[arr.<name>] timeout`";
      };
      path_map = mkOption {
        type = types.attrsOf absolutePath;
        default = { };
        description = "`[arr.<name>] path_map`: as this host sees it -> as the app sees it; the longest prefix wins";
      };
    });
    default = { };
    description = "`[arr]`: told of downloads, asked before its titles are deleted; wait-for, doctor";
  };
  jellyfin = mkOption {
    type = types.nullOr (table {
      url = mkOption {
        type = types.str;
        default = "http://127.0.0.1:8096";
        description = "`[jellyfin] url`";
      };
      api_key_file = mkOption {
        type = secretFile;
        default = "jellyfin-api-key";
        description = "`[jellyfin] api_key_file`: from its Dashboard, API Keys";
      };
      path_map = mkOption {
        type = types.attrsOf absolutePath;
        default = { };
        description = "`[jellyfin] path_map`: as this host sees it -> as Jellyfin sees it; the longest prefix wins";
      };
    });
    default = null;
    description = "`[jellyfin]`: absent: not told of uploads";
  };
  notify = mkOption {
    type = table {
      urls_file = mkOption {
        type = secretFile;
        default = "";
        description = "`[notify] urls_file`: apprise URLs, one per line: who is told of failures; e.g. \"notify-urls\"";
      };
    };
    default = { };
    description = "`[notify]`";
  };
}
