#!/bin/sh
# lading's main job on real input: a sparse disk image goes into a file catalog, and from there to a host.
set -eu

here=$(mktemp -d "${TMPDIR:-/tmp}/lading-demo.XXXXXX")
trap 'rm -rf "$here"' EXIT INT TERM
mkdir "$here/images" "$here/vms"
cd "$here"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

cat > lading.toml <<END
[catalog]
kind = "file"
folder = "catalog"
[associations]
kind = "file"
path = "associations.sqlite"
[handlers]
order = ["file", "download"]
[handlers.file]
allowed_folders = ["images"]
END
echo '$ cat lading.toml'
cat lading.toml

# A disk of 1 GiB: a boot sector, 32 MiB of data in the middle, the rest a hole.
python3 - images/noble.img <<END
import os, sys
with open(sys.argv[1], "wb") as disk:
    disk.truncate(1 << 30)
    disk.seek(510)
    disk.write(b"\x55\xaa")
    disk.seek(512 << 20)
    for _ in range(32):
        disk.write(os.urandom(1 << 20))
END
run ls -ls images/noble.img

run lading handlers
run lading catalog add images/noble.img --name noble
run lading catalog ls
run lading explain noble vms/1.img
run lading fetch noble vms/1.img
run ls -ls vms/1.img
run lading show vms/1.img
run lading fetch noble vms/1.img
run lading mv vms/1.img vms/2.img
run lading ls
run lading rm vms/2.img

# The same disk as it is often shipped: compressed, and smaller than a guest needs.
gzip -1 images/noble.img
run lading catalog add images/noble.img.gz --name packed
run lading explain packed vms/3.img --size 2G
run lading fetch packed vms/3.img --size 2G
run ls -ls vms/3.img
run lading show vms/3.img
run lading rm vms/3.img
run ls -A vms
printf '\nThat was lading: catalog, explain, fetch, show, move, remove.\n'
