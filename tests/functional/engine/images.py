"""Small images that run: Debian's static busybox, or a static program compiled here. No base is needed."""

from __future__ import annotations

import io
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from helpers.tools import require_tool
from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.model import BytesBlob, Image, Layer, Platform, RunConfig
from shipwheel.oci.tar import Entry

# A program that says what it sees of itself, and one that handles, ignores or dies of signals.
SOURCE = r"""
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <ifaddrs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
static volatile sig_atomic_t got;
static void handler(int number) { got = number; }
static void say(const char *text) { puts(text); fflush(stdout); }
static void writes(const char *path) {
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  printf("%s %s\n", path, fd < 0 ? strerror(errno) : "written");
  if (fd >= 0) close(fd);
}
static void copy(const char *path) {
  char line[4096]; FILE *file = fopen(path, "r");
  if (!file) { printf("%s: %s\n", path, strerror(errno)); return; }
  while (fgets(line, sizeof line, file)) fputs(line, stdout);
  fclose(file);
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "exit")) return atoi(argv[2]);
  if (!strcmp(what, "args")) { for (int i = 2; i < argc; i++) printf("[%s]\n", argv[i]); return 0; }
  if (!strcmp(what, "env")) { for (char **e = environ; *e; e++) puts(*e); return 0; }
  if (!strcmp(what, "cat")) { for (int i = 2; i < argc; i++) copy(argv[i]); return 0; }
  if (!strcmp(what, "write")) { for (int i = 2; i < argc; i++) writes(argv[i]); return 0; }
  if (!strcmp(what, "id")) { printf("%d %d %d\n", getuid(), getgid(), getpid()); return 0; }
  if (!strcmp(what, "cwd")) { char b[4096]; puts(getcwd(b, sizeof b)); return 0; }
  if (!strcmp(what, "echo")) {
    char b[4096]; ssize_t n; while ((n = read(0, b, sizeof b)) > 0) write(1, b, n); return 0; }
  if (!strcmp(what, "tty")) { printf("%d %d\n", isatty(0), isatty(1)); return 0; }
  if (!strcmp(what, "interfaces")) {
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *i = all; i && i->if_name; i++) puts(i->if_name);
    return 0; }
  if (!strcmp(what, "handle")) {  /* say "ready", then the number of the first signal; exit with 40 */
    int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    sigset_t all, old; sigfillset(&all); sigprocmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < 7; i++) { struct sigaction a = {0}; a.sa_handler = handler; sigaction(numbers[i], &a, 0); }
    say("ready");
    while (!got) sigsuspend(&old);
    printf("got %d\n", got);
    return 40; }
  if (!strcmp(what, "wait")) { say("ready"); for (;;) pause(); }
  if (!strcmp(what, "die")) { say("ready"); signal(atoi(argv[2]), SIG_DFL); kill(getpid(), atoi(argv[2])); sleep(1); return 0; }
  if (!strcmp(what, "orphan")) {  /* leave a grandchild to process 1, then look whether it was reaped */
    int ends[2]; pipe(ends);
    if (fork() == 0) { pid_t grand = fork(); if (grand == 0) _exit(0);
      write(ends[1], &grand, sizeof grand); _exit(0); }
    pid_t grand; read(ends[0], &grand, sizeof grand); wait(0);
    for (int i = 0; i < 500; i++) { if (kill(grand, 0) < 0) { say("reaped"); return 0; } usleep(10000); }
    say("zombie"); return 1; }
  if (!strcmp(what, "serve")) {  /* answer one connection */
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {0}; a.sin_family = AF_INET; a.sin_port = htons(atoi(argv[2]));
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 1) < 0) { perror("bind"); return 1; }
    say("ready"); int c = accept(s, 0, 0); write(c, "hello", 5); close(c); return 0; }
  if (!strcmp(what, "userns")) { printf("%s\n", unshare(0x10000000) < 0 ? strerror(errno) : "made"); return 0; }
  return 2;
}
"""


CONFIG = RunConfig(
    user="65532:65532",
    working_dir="/app",
    entrypoint=("/app/program",),
    env=(("PATH", "/app"), ("HOME", "/home/nonroot"), ("GREETING", "hello")),
)


def compile_program(folder: Path) -> Path:
    """Compile the test program statically."""
    gcc = require_tool("gcc")
    source = folder / "program.c"
    source.write_text("#define _GNU_SOURCE\n#include <sched.h>\n" + SOURCE)
    program = folder / "program"
    subprocess.run([gcc, "-w", "-O1", "-static", "-o", str(program), str(source)], check=True)
    return program


def host_platform() -> Platform:
    """This machine's platform."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return Platform(os="linux", architecture=names.get(platform.machine(), platform.machine()))


def image_with(
    program: Path,
    *,
    config: RunConfig | None = None,
    files: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
    on: Platform | None = None,
) -> Image:
    """An image with `program` as /app/program, user 65532, /app as working folder and `files`."""
    stream = io.BytesIO()
    writer = LayerWriter(stream)
    contents = {
        "etc/passwd": b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n",
        "etc/group": b"root:x:0:\nnonroot:x:65532:\n",
        **(files or {}),
    }
    folders = {"app", "etc", "home", "home/nonroot"}
    for path in (*contents, *(links or {})):
        parts = path.split("/")[:-1]
        folders |= {"/".join(parts[: i + 1]) for i in range(len(parts))}
    for folder in sorted(folders):
        writer.add(Entry(path=folder, kind="directory", mode=0o755))
    data = program.read_bytes()
    writer.add(Entry(path="app/program", mode=0o755, size=len(data)), data)
    for path, content in sorted(contents.items()):
        writer.add(Entry(path=path, size=len(content)), content)
    for path, target in sorted((links or {}).items()):
        writer.add(Entry(path=path, kind="symlink", mode=0o777, link=target))
    descriptor, diff_id = writer.finish()
    return Image(
        platform=on or host_platform(),
        layers=(Layer(descriptor=descriptor, diff_id=diff_id, blob=BytesBlob(stream.getvalue())),),
        config=config or CONFIG,
    )
