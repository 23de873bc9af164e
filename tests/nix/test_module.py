"""The NixOS module: what a configuration comes to, and what it is told when it is wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mediapipe.config import ArrConfig, CleanupCategory, Config, JellyfinConfig, SabnzbdConfig
from mediapipe.config_load import load
from mediapipe.units import SecretFile
from tests.nixos import CHECKOUT, MINIMAL, SECRETS, UNITS, Nix, NixError

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted(
    [*CHECKOUT.glob("*.nix"), *CHECKOUT.glob("nix/**/*.nix"), *CHECKOUT.glob("tests/nix/**/*.nix")]
)
EXAMPLE = CHECKOUT / "nix" / "example" / "builder.nix"
VENV = CHECKOUT / ".venv"
JOBS = ("qbt-categories", "qbt-upload-b2", "qbt-cleanup")


def ours(lines: str, rest: str = "") -> str:
    """Give a configuration with further lines in services.mediapipe, and beside it."""
    return f"{{ services.mediapipe = {{ enable = true; {SECRETS} {lines} }}; {rest} }}"


@pytest.mark.parametrize(
    "file", [pytest.param(one, id=str(one.relative_to(CHECKOUT))) for one in FILES]
)
def test_every_file_is_nix(file: Path, nix: Nix) -> None:
    nix.run("nix-instantiate", "--parse", str(file))


# --- what is given ---


def test_disabled_it_does_nothing(nix: Nix) -> None:
    data = nix.evaluate("{ }")
    assert data["failed"] == data["warnings"] == []
    assert data["services"] == data["timers"] == data["paths"] == data["tmpfiles"] == {}
    assert data["users"] == {"users": {}, "groups": {}}


def test_a_remote_is_all_that_it_must_be_told(nix: Nix) -> None:
    data = nix.evaluate(MINIMAL)
    assert data["failed"] == data["warnings"] == []
    assert set(JOBS) <= data["services"].keys()
    for job in JOBS:
        service = data["services"][job]
        assert service["serviceConfig"]["User"] == service["serviceConfig"]["Group"] == "media"
        assert service["restartIfChanged"] is False
    media = data["users"]["users"]["media"]
    assert (media["isSystemUser"], media["group"]) == (True, "media")
    assert data["users"]["groups"] == {"media": {}}
    assert data["tmpfiles"] == {
        "/var/lib/mediapipe": {"d": {"mode": "0750", "user": "media", "group": "media"}}
    }
    assert data["allowOther"] is True


def test_what_stands_in_no_setting_is_the_programs_own_default(nix: Nix) -> None:
    config = load(str(nix.build_config(MINIMAL, str(VENV))))
    assert config.rclone.config_file == "rclone.conf"
    ours_alone = replace(config.rclone, config_file=SecretFile(""))
    documented = load(str(CHECKOUT / "docs" / "reference" / "config.example.toml"))
    assert replace(config, rclone=ours_alone) == documented == Config()


def test_a_table_that_is_absent_by_default_has_the_programs_defaults_too(nix: Nix) -> None:
    lines = """
      settings.sabnzbd = { };
      settings.jellyfin = { };
      settings.arr.sonarr = { url = "http://x:1"; api_key_file = "/run/key"; };
      settings.cleanup.categories.radarr = { };
    """
    config = load(str(nix.build_config(ours(lines), str(VENV))))
    assert (config.sabnzbd, config.jellyfin) == (SabnzbdConfig(), JellyfinConfig())
    assert config.arr == {"sonarr": ArrConfig("http://x:1", SecretFile("/run/key"))}
    assert config.cleanup.categories == {"radarr": CleanupCategory()}


def test_the_units_say_how_the_module_says_who_and_when(nix: Nix) -> None:
    data = nix.evaluate(ours('user = "u"; group = "g"; upload.extraServiceConfig.IOWeight = 50;'))
    for name, service in data["services"].items():
        lines = service["serviceConfig"]
        makes_mount_point = {"ExecStartPre"} if name == "rclone-b2-mount" else set()
        known = {"User", "Group", "LoadCredential", "IOWeight"} | makes_mount_point
        assert lines.keys() <= known, name
        assert lines.get("User", "u") == "u"
        assert lines.get("Group", "g") == "g"
    assert data["services"]["qbt-upload-b2"]["serviceConfig"]["IOWeight"] == 50
    assert data["users"] == {"users": {}, "groups": {}}


def test_every_shipped_unit_is_started_as_its_install_section_says(nix: Nix) -> None:
    """NixOS ignores [Install]; a unit that the module forgets would never run."""
    data = nix.evaluate(ours('settings.sabnzbd.api_key_file = "/run/key";'))
    started = {
        f"{stem}.{kind}": unit["wantedBy"]
        for kind in ("service", "timer", "path")
        for stem, unit in data[f"{kind}s"].items()
    }
    for unit in [*UNITS.glob("*.service"), *UNITS.glob("*.timer"), *UNITS.glob("*.path")]:
        wanted = re.findall(r"^WantedBy=(.*)$", unit.read_text(), re.MULTILINE)
        assert started[unit.name] == " ".join(wanted).split(), unit.name
    kinds = {one.suffix for one in UNITS.iterdir()}
    known = {".service", ".timer", ".path", ".slice", ".conf", ".sh", ".sysusers", ".tmpfiles"}
    assert kinds <= known


@pytest.mark.parametrize("part", ["categories", "upload", "cleanup"])
def test_each_job_can_be_left_out(part: str, nix: Nix) -> None:
    data = nix.evaluate(ours(f"{part}.enable = false;"))
    stem = {"categories": "qbt-categories", "upload": "qbt-upload-b2", "cleanup": "qbt-cleanup"}
    assert data["failed"] == []
    assert stem[part] not in data["services"].keys() | data["timers"].keys()


def test_a_rhythm_of_ones_own_replaces_the_shipped_one(nix: Nix) -> None:
    lines = 'upload.timerConfig = { OnCalendar = "hourly"; RandomizedDelaySec = "5m"; };'
    lines += 'cleanup.timerConfig.RandomizedDelaySec = "1m";'
    timers = nix.evaluate(ours(lines))["timers"]
    assert timers["qbt-upload-b2"]["timerConfig"] == {
        "OnActiveSec": [""],
        "OnCalendar": "hourly",
        "RandomizedDelaySec": "5m",
    }
    assert timers["qbt-cleanup"]["timerConfig"] == {"RandomizedDelaySec": "1m"}
    assert "qbt-upload-b2" not in nix.evaluate(ours("upload.timerConfig = null;"))["timers"]


def test_a_service_gets_the_secrets_that_its_unit_asks_for_and_those_that_none_does(
    nix: Nix,
) -> None:
    lines = """
      secrets.jellyfin-api-key = "/run/secrets/jellyfin";
      secrets.lidarr-key = "/run/secrets/lidarr";
    """
    services = nix.evaluate(ours(lines))["services"]
    rclone, jellyfin = (
        "rclone.conf:/run/secrets/rclone.conf",
        "jellyfin-api-key:/run/secrets/jellyfin",
    )
    lidarr = "lidarr-key:/run/secrets/lidarr"
    assert credentials(services["qbt-categories"]) == [lidarr]
    assert credentials(services["qbt-cleanup"]) == [lidarr, rclone]
    assert credentials(services["qbt-upload-b2"]) == [jellyfin, lidarr, rclone]


def credentials(service: dict[str, Any]) -> list[str]:
    return sorted(service["serviceConfig"]["LoadCredential"])


def test_a_unit_may_wait_for_an_app_with_that_apps_key_alone(nix: Nix) -> None:
    lines = """
      waitFor = { podman-soularr = "lidarr"; podman-reader = "mount"; };
      settings.arr.lidarr = { url = "http://127.0.0.1:8686"; api_key_file = "lidarr-key"; };
      secrets.lidarr-key = "/run/secrets/lidarr";
    """
    data = nix.evaluate(ours(lines))
    assert data["failed"] == []
    soularr, reader = (data["services"][f"podman-{name}"] for name in ("soularr", "reader"))
    assert soularr["after"] == ["lidarr.service", "podman-lidarr.service", "docker-lidarr.service"]
    assert soularr["serviceConfig"] == {
        "ExecStartPre": ["/opt/mediapipe/bin/mediapipe wait-for lidarr"],
        "LoadCredential": ["lidarr-key:/run/secrets/lidarr"],
    }
    assert reader["after"] == ["rclone-b2-mount.service"]
    assert reader["serviceConfig"]["LoadCredential"] == []


def test_folders_of_a_container_are_not_made_on_this_host(nix: Nix) -> None:
    lines = "createFolders = true;"
    lines += 'settings.categories = { tv-sonarr = "/dl/tv"; radarr = "/dl/movies"; };'
    mapped = lines + 'settings.qbittorrent.path_map."/dl" = "/var/lib/qBittorrent/completed";'
    made = nix.evaluate(ours(lines))["tmpfiles"]
    assert made["/dl/tv"] == {"d": {"mode": ":2775", "user": ":media", "group": ":media"}}
    assert "/dl/tv" not in nix.evaluate(ours(mapped))["tmpfiles"]


# --- other services of the same machine ---

NEIGHBOURS = """
  services.qbittorrent = { enable = true; webuiPort = 9090; profileDir = "/srv/qbt/"; };
  services.sonarr.enable = true;
  services.radarr = { enable = true; group = "films"; settings.server.port = 7879; };
  services.prowlarr.enable = true;
  services.jellyfin.enable = true;
"""


def test_what_follows_from_other_services_need_not_be_said(nix: Nix) -> None:
    data = nix.evaluate(ours('secrets.jellyfin-api-key = "/run/secrets/jellyfin";', NEIGHBOURS))
    assert data["failed"] == []
    settings = data["settings"]
    assert settings["qbittorrent"]["url"] == "http://127.0.0.1:9090"
    assert settings["paths"]["completed"] == "/srv/qbt/completed"
    assert settings["paths"]["extracted"] == "/srv/qbt/extracted"
    assert settings["categories"]["tv-sonarr"] == "/srv/qbt/completed/tv"
    assert {name: arr["url"] for name, arr in settings["arr"].items()} == {
        "sonarr": "http://127.0.0.1:8989",
        "radarr": "http://127.0.0.1:7879",
        "prowlarr": "http://127.0.0.1:9696",
    }
    assert settings["jellyfin"]["api_key_file"] == "jellyfin-api-key"
    assert data["groups"]["sonarr"] == data["groups"]["qbittorrent"] == "media"
    assert data["groups"]["sabnzbd"] == "own"
    assert data["users"]["users"]["own"]["extraGroups"] == ["media"]
    assert data["services"]["qbittorrent"]["serviceConfig"] == {"UMask": "0002"}
    cleanup = data["services"]["qbt-cleanup"]
    assert "sonarr.service" in cleanup["after"]
    assert "sonarr-api-key:/var/lib/arr/config.xml" in cleanup["serviceConfig"]["LoadCredential"]


def test_what_is_said_elsewhere_is_not_contradicted(nix: Nix) -> None:
    lines = """
      settings.qbittorrent.url = "http://box:1";
      settings.paths.completed = "/data/done";
      settings.arr.sonarr.api_key_file = "/run/secrets/own";
      secrets.radarr-api-key = "/run/secrets/radarr";
    """
    data = nix.evaluate(ours(lines, NEIGHBOURS))
    settings = data["settings"]
    assert settings["qbittorrent"]["url"] == "http://box:1"
    assert settings["categories"]["radarr"] == "/data/done/movies"
    assert settings["arr"]["sonarr"]["api_key_file"] == "/run/secrets/own"
    assert data["groups"]["radarr"] == "films"
    assert "radarr-api-key:/run/secrets/radarr" in credentials(data["services"]["qbt-cleanup"])


def test_an_app_that_shuts_its_group_out_is_told_of(nix: Nix) -> None:
    """nixpkgs gives Sonarr and Radarr 0022, which the machine alone may change."""
    data = nix.evaluate(ours("", NEIGHBOURS))
    assert data["services"]["sonarr"]["serviceConfig"]["UMask"] == "0022"
    for name, warning in zip(("sonarr", "radarr"), data["warnings"], strict=True):
        assert f'systemd.services.{name}.serviceConfig.UMask = lib.mkForce "0002";' in warning


def test_the_dashboard_leads_to_each_services_own_port(nix: Nix) -> None:
    lines = "webDashboard = { enable = true; ports.files = 8081; ports.prowlarr = null; };"
    nginx = nix.evaluate(ours(lines, NEIGHBOURS))["nginx"]
    assert nginx["enable"] is True
    assert nginx["virtualHosts"]["localhost"]["locations"] == {
        f"/{name}/": {"return": f"302 http://$host:{port}/"}
        for name, port in {
            "qbt": 9090, "jellyfin": 8096, "files": 8081, "rclone": 5572, "sonarr": 8989,
            "radarr": 7879,
        }.items()
    }  # fmt: skip


def test_the_example_is_a_whole_machine(nix: Nix) -> None:
    machine = f"{{ imports = [ {EXAMPLE} {CHECKOUT}/nix/tests/bootable.nix ]; }}"
    data = nix.evaluate(machine)
    assert data["failed"] == data["warnings"] == []
    assert data["settings"]["notify"]["urls_file"] == "notify-urls"
    assert data["settings"]["categories"]["radarr"] == "/srv/media/completed/movies"
    volumes = [one.split(":")[1] for one in data["containers"]["sabnzbd"]["volumes"]]
    assert sorted(volumes) == ["/config", "/data", "/scripts/sabnzbd-hook.sh", "/spool"]
    assert load(str(nix.build_config(machine, str(VENV)))).sabnzbd is not None


def test_the_machine_of_the_vm_test_is_sound(nix: Nix) -> None:
    """All of it that can be had without nixpkgs: the rest needs KVM and an hour of building."""
    box = f"(import {CHECKOUT}/nix/tests/vm.nix).nodes.box"
    data = nix.evaluate(box)
    assert data["failed"] == data["warnings"] == []
    assert load(str(nix.build_config(box, str(VENV)))).rclone.remote == "disk:/srv/remote"
    script = nix.value(f"(import {CHECKOUT}/nix/tests/vm.nix).testScript")
    compile(script, "testScript", "exec")


# --- what is wrong is told ---

PASSWORD = "services.mediapipe.settings.qbittorrent.password holds a secret"
# fmt: off
WRONG = [
    ('settings.qbittorrent.password = "hunter2";', "", PASSWORD),
    ('settings.notify.url = "tgram://bot:token@chat";', "", "settings.notify.url holds a secret"),
    ('settings.arr.sonarr = { url = "http://x:1"; api_key_file = "0123456789abcdef"; };', "",
     "settings.arr.sonarr.api_key_file names a secret that services.mediapipe.secrets does not"),
    ('settings.rclone.rc_htpasswd_file = "${builtins.toFile "x" "y"}";', "",
     "rc_htpasswd_file lies in the Nix store"),
    (f"secrets.x = {CHECKOUT}/README.md;", "",
     'services.mediapipe.secrets."x" is copied into the Nix store'),
    ('secrets.x = "${builtins.toFile "x" "y"}";', "", '"x" is copied into the Nix store'),
    ('settings.libraries.tv = { root = "/media/tv"; remote = "tv"; category = "tv-sonarr"; };',
     'fileSystems = { "/" = { }; "/media" = { }; };',
     "on another file\nsystem (/media) than settings.paths.completed"),
    ("createFolders = true;",
     'fileSystems."/media/arr/tv" = { }; fileSystems."/media" = { options = [ "nofail" ]; };',
     "would make /media/arr/movies before its disk is there"),
    ("sabnzbdHook.enable = true;", "", "sabnzbdHook.enable tells of jobs that nothing moves"),
    ("", 'fileSystems."/media/b2" = { };', 'services.mediapipe.mount and fileSystems."/media/b2"'),
    ("postprocess.enable = true;", "", "postprocess.enable needs to know where SABnzbd is"),
    ('settings.paths.state = "/srv/state";', "", "settings.paths.state cannot be moved"),
    ('settings.qbittorrent.url = "http://me:pw@box:8080";', "", "qbittorrent.url holds a secret"),
    ('waitFor.podman-x = "lidarr";', "", 'waitFor.podman-x = "lidarr": there is no such app'),
]
# fmt: on


@pytest.mark.parametrize(("lines", "rest", "told"), WRONG)
def test_what_would_only_show_on_the_machine_is_told_before(
    lines: str, rest: str, told: str, nix: Nix
) -> None:
    (message,) = nix.evaluate(ours(lines, rest))["failed"]
    assert told in message
    assert len(message.splitlines()) > 1  # what to do about it


def test_a_category_may_be_called_like_a_secret(nix: Nix) -> None:
    data = nix.evaluate(ours('settings.categories.secret-films = "/var/lib/films";'))
    assert data["failed"] == []


def test_without_a_remote_the_way_to_one_is_told(nix: Nix) -> None:
    (message,) = nix.evaluate("{ services.mediapipe.enable = true; }")["failed"]
    assert 'services.mediapipe.secrets."rclone.conf" = "/run/secrets/rclone.conf";' in message
    off = " ".join(f"{part}.enable = false;" for part in ("upload", "cleanup", "mount"))
    told = nix.evaluate(f"{{ services.mediapipe = {{ enable = true; {off} }}; }}")
    assert told["failed"] == []


# fmt: off
NOT_OF_THE_TYPE = [
    ("paths.completed", '"downloads"', "absolute path"),
    ("paths.completed", '"/"', "absolute path"),
    ("upload.settle", "60", "duration"),
    ("upload.settle", '"a while"', "duration"),
    ("upload.batch", '"50GB"', "size"),
    ("upload.transfers", '"4"', "integer"),
    ("upload.leftovers", '"delete"', '"upload"'),
    ("upload.ignore", '"*.nfo"', "list of string"),
    ("rclone.mount.allow_other", '"yes"', "boolean"),
    ("qbittorrent.password_file", '"pass word"', "secret"),
    ("cleanup.categories.tv.seeding_time", "7", "duration"),
    ("cleanup.links_elsewhere", '"kep"', '"ignore"'),
]
# fmt: on


@pytest.mark.parametrize(("key", "value", "kind"), NOT_OF_THE_TYPE)
def test_a_value_of_another_type_is_refused(key: str, value: str, kind: str, nix: Nix) -> None:
    with pytest.raises(NixError) as caught:
        nix.evaluate(ours(f"settings.{key} = {value};"))
    assert f"services.mediapipe.settings.{key}' is not of type" in str(caught.value)
    assert kind in str(caught.value)


def test_an_unknown_option_is_refused(nix: Nix) -> None:
    with pytest.raises(NixError, match=r"services\.mediapipe\.uplaod' does not exist"):
        nix.evaluate(ours("uplaod.enable = false;"))


def test_the_program_itself_checks_its_configuration_at_build_time(nix: Nix) -> None:
    lines = 'settings.upload.setle = "60s"; settings.categories.radarr = "/x";'
    with pytest.raises(NixError) as caught:
        nix.build_config(ours(lines), str(VENV))
    assert "upload.setle: unknown key; did you mean 'upload.settle'?" in str(caught.value)


@pytest.mark.parametrize("configuration", [MINIMAL, ours("", NEIGHBOURS)])
def test_a_sound_configuration_is_built(configuration: str, nix: Nix) -> None:
    assert load(str(nix.build_config(configuration, str(VENV))))
