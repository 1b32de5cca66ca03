"""What the image gives away: secrets in files, in layers that hide them, in history and configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shipwheel.verify.evidence import FoundSecret
from shipwheel.verify.installed import environment
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.secrets import PRIVATE_KEY, Secret, find_credentials, find_secrets, is_secret_value
from shipwheel.verify.subject import Chapter, Subject, count

_ROTATE: Final = "Replace the secret where it was issued: whoever has pulled the image has it. "
SECRET: Final = Rule(
    code="secret-in-file",
    promise="secure",
    severity="error",
    title="A secret is in a file",
    why="Everybody who can pull the image can read it.",
    fix=_ROTATE + "Give it to the container when it runs, or to the build with RUN --mount=type=secret.",
)
BURIED: Final = Rule(
    code="secret-in-lower-layer",
    promise="secure",
    severity="error",
    title="A secret was deleted, and is still in a lower layer",
    why="Layers only hide what is below; whoever pulls the image can unpack each one.",
    fix=_ROTATE + "Never let it into a layer: RUN --mount=type=secret, or another stage.",
)
KEY: Final = Rule(
    code="private-key",
    promise="secure",
    severity="error",
    title="A private key is in the image",
    why="Everybody who can pull the image can use it.",
    fix=_ROTATE + "Mount keys when the container runs.",
)
PACKAGE_SECRET: Final = Rule(
    code="secret-in-package",
    promise="secure",
    severity="note",
    title="A package brings something that looks like a secret",
    why="Public packages bring keys for their tests and examples, which everybody has; a private package may not.",
    fix="Look at the file. If it is real: replace the secret, and release the package without it.",
)
HISTORY: Final = Rule(
    code="secret-in-history",
    promise="secure",
    severity="error",
    title="A secret is in the image's history",
    why="Build arguments and commands are stored in the image's configuration, for everybody to read.",
    fix=_ROTATE + "Use RUN --mount=type=secret instead of ARG.",
)
ENVIRONMENT: Final = Rule(
    code="secret-in-environment",
    promise="secure",
    severity="error",
    title="A secret is in the environment or the labels",
    why="It is in the image's configuration, in every process's environment, and in many error reports.",
    fix=_ROTATE + "Give it to the container when it runs.",
)
REPOSITORY: Final = Rule(
    code="repository",
    promise="secure",
    severity="error",
    title="The version control's folder is in the image",
    why="It holds every old version of every file, secrets that were removed later too, and weighs.",
    fix="Add .git to .dockerignore, and copy what the program needs instead of everything.",
)
CREDENTIALS: Final = Rule(
    code="credentials-file",
    promise="secure",
    severity="error",
    title="A file that is made for credentials is in the image",
    why="Files as .env, .netrc or .pypirc hold passwords for everybody who can pull the image.",
    fix="Add it to .dockerignore; give the values to the container when it runs. " + _ROTATE.strip(),
)
RULES: Final = (SECRET, BURIED, KEY, PACKAGE_SECRET, HISTORY, ENVIRONMENT, REPOSITORY, CREDENTIALS)

_TEST_FOLDER: Final = re.compile(
    r"/(?:tests?|test_\w+|testing|testdata|fixtures?|examples?|samples?|conformance)/|/test_[^/]*$|/conftest\.py$"
)
_REPOSITORY: Final = re.compile(r"(?:.*/)?\.(?:git|hg|svn|bzr)")
_CREDENTIALS: Final = re.compile(
    r"""(?:.*/)?(?:
      \.env(?:\.(?!example|sample|template|dist|test)[^/]+)? | \.netrc | \.pypirc | \.git-credentials | \.pgpass | \.my\.cnf
    | \.aws/credentials | \.docker/config\.json | \.dockercfg | \.kube/config | \.config/gcloud/.*credentials.*
    | \.azure/(?:accessTokens|msal_token_cache)\.(?:json|bin) | \.config/gh/hosts\.yml | \.terraformrc
    | pypoetry/auth\.toml | \.ssh/(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?) | \.vault-token
    )""",
    re.VERBOSE,
)
_ASSIGNMENT: Final = re.compile(
    r"(?<![A-Za-z0-9_])(?P<name>[A-Za-z_][A-Za-z0-9_]{2,60})=(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"']+)"
)


def _check_files(subject: Subject) -> Iterator[Result]:
    places: dict[str, list[Place]] = {}
    rules = {rule.code: rule for rule in (SECRET, BURIED, KEY, PACKAGE_SECRET)}
    for found in subject.evidence.secrets:
        if _is_test_key(subject, found):
            continue
        rule = _rule_for(subject, found)
        fact = subject.evidence.facts[found.source]
        owner = subject.installed.owner(found.path) if subject.is_visible(found) else None
        place = Place(
            path=f"/{found.path}",
            layer=fact.layer,
            package=None if owner is None else f"{owner.name} {owner.version}",
            detail=_detail(found.secret),
        )
        places.setdefault(rule.code, []).append(place)
    for code, rule in rules.items():
        if code in places:
            kinds = sorted({place.detail.partition(",")[0] for place in places[code]})
            yield Finding(
                rule=rule,
                message=f"{count(len(places[code]), 'place')}: {', '.join(kinds)}",
                places=sorted(places[code], key=lambda place: (place.path, place.detail)),
            )
    for told in subject.evidence.truncated:
        if "secrets" in told:
            yield NotChecked(rule=SECRET, reason=told)


def _rule_for(subject: Subject, found: FoundSecret) -> Rule:
    if not subject.is_visible(found):
        return BURIED
    owner = subject.installed.owner(found.path)
    if owner is not None and owner.name not in subject.first_party:
        return PACKAGE_SECRET
    return KEY if found.secret.kind == PRIVATE_KEY.kind else SECRET


def _is_test_key(subject: Subject, found: FoundSecret) -> bool:
    """Whether a package that is not the user's own brings a private key for its tests: everybody has it."""
    if found.secret.kind != PRIVATE_KEY.kind or not _TEST_FOLDER.search(f"/{found.path}"):
        return False
    return subject.is_visible(found) and _rule_for(subject, found) is PACKAGE_SECRET


def _detail(secret: Secret) -> str:
    return f"{secret.kind}, line {secret.line}: {secret.shown}"


def _check_history(subject: Subject) -> Iterator[Result]:
    places = []
    for entry in subject.evidence.history:
        text = entry.created_by
        where = f"history[{entry.number}]"
        places += [
            Place(path=where, layer=entry.layer, detail=f"{secret.kind}: {secret.shown}")
            for secret in _all(text)
        ]
        for match in _ASSIGNMENT.finditer(text):
            value = match["value"].strip("\"'")
            if is_secret_value(match["name"], value):
                detail = f"{match['name']}={_hidden(value)}"
                places.append(Place(path=where, layer=entry.layer, detail=detail))
    # ENV lines come again in the configuration, where the other rule tells of them.
    told = {f"{name}={_hidden(value)}" for name, value in environment(subject.evidence.image.config).items()}
    places = [place for place in places if place.detail not in told]
    if places:
        yield Finding(rule=HISTORY, message=f"{count(len(places), 'value')} in the history", places=places)


def _check_configuration(subject: Subject) -> Iterator[Result]:
    config = subject.evidence.image.config
    places = []
    named = [(f"env.{name}", name, value) for name, value in environment(config).items()]
    named += [(f"label.{name}", name, value) for name, value in sorted((config.labels or {}).items())]
    for path, name, value in named:
        kinds = {secret.kind: secret for secret in _all(value)}
        places += [Place(path=path, detail=f"{secret.kind}: {secret.shown}") for secret in kinds.values()]
        if not kinds and path.startswith("env.") and is_secret_value(name, value):
            places.append(Place(path=path, detail=f"{name}={_hidden(value)}"))
    if places:
        names = ", ".join(sorted({place.path.partition(".")[2] for place in places}))
        yield Finding(rule=ENVIRONMENT, message=f"in {names}", places=places)


def _all(text: str) -> list[Secret]:
    data = text.encode("utf-8", "surrogatepass")
    return [*find_secrets(data), *find_credentials(data)]


def _hidden(value: str) -> str:
    return f"… ({len(value)} characters)"


def _check_names(subject: Subject) -> Iterator[Result]:
    repositories, credentials = [], []
    for path, node in subject.evidence.visible.items():
        if node.kind == "directory" and _REPOSITORY.fullmatch(path):
            repositories.append(subject.place(path))
        elif node.kind == "file" and node.size and _CREDENTIALS.fullmatch(path):
            owner = subject.installed.owner(path)
            if owner is None or owner.name in subject.first_party:
                credentials.append(subject.place(path))
    if repositories:
        message = ", ".join(place.path for place in repositories[:3])
        yield Finding(rule=REPOSITORY, message=message, places=repositories)
    if credentials:
        message = ", ".join(place.path for place in credentials[:3])
        yield Finding(rule=CREDENTIALS, message=message, places=credentials)


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=(SECRET, BURIED, KEY, PACKAGE_SECRET), check=_check_files),
    Chapter(rules=(HISTORY,), check=_check_history),
    Chapter(rules=(ENVIRONMENT,), check=_check_configuration),
    Chapter(rules=(REPOSITORY, CREDENTIALS), check=_check_names),
)
