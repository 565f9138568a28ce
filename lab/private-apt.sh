#!/usr/bin/env bash
# Runs apt-get or apt-cache over package lists of its own, so that Debian packages of other
# releases can be had without touching this machine's apt configuration, lists or packages.
#
#   lab/private-apt.sh SUITE… -- apt-get download PACKAGE[=VERSION]
#   lab/private-apt.sh SUITE… -- apt-cache policy PACKAGE
#
# The archives are those this machine already uses; only the suites differ. Needs no root.
# Exit: 3 when no list can be had (said why on stderr), else the command's status.
set -euo pipefail

trouble() { echo "private-apt: $*" >&2; exit 3; }

suites=()
while [[ $# -gt 0 && $1 != -- ]]; do suites+=("$1"); shift; done
[[ ${#suites[@]} -gt 0 && ${1:-} == -- && $# -ge 2 ]] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift

for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || trouble "no $tool here: this needs a Debian machine"
done

root=${XDG_CACHE_HOME:-$HOME/.cache}/portwise-apt/$(printf '%s\n' "${suites[@]}" | sort | cksum | cut -d' ' -f1)
mkdir -p "$root"/{lists/partial,cache/archives/partial,etc/none}

# One entry per archive this machine has: the main one and the security one. SIGNED_BY is not
# told by older apt, so the archive's own keyring is named.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -r $keyring ]] || trouble "$keyring is missing (package debian-archive-keyring)"
archives=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(ORIGIN)' 'Created-By: Packages' |
    awk '$3 == "Debian" || $3 == "" || $3 ~ /ORIGIN/ { print $1, ($2 ~ /-security/ ? "security" : "main") }' | sort -u) || true
[[ -n $archives ]] || trouble "apt knows no Debian archive here"
while read -r uri kind; do
    for suite in "${suites[@]}"; do
        [[ $suite == *-security ]] && wanted=security || wanted=main
        [[ $wanted == "$kind" ]] && echo "deb [signed-by=$keyring] $uri $suite main"
    done
done <<<"$archives" >"$root/etc/sources.list"
[[ -s $root/etc/sources.list ]] || trouble "no archive of this machine can hold ${suites[*]}"

cat >"$root/etc/apt.conf" <<CONF
Dir::State "$root";
Dir::State::Lists "$root/lists";
Dir::State::status "$root/status";
Dir::Cache "$root/cache";
Dir::Etc::SourceList "$root/etc/sources.list";
Dir::Etc::SourceParts "$root/etc/none";
Dir::Etc::Preferences "$root/etc/none/preferences";
Dir::Etc::PreferencesParts "$root/etc/none";
APT::Sandbox::User "$(id -un)";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
: >"$root/status"
export APT_CONFIG=$root/etc/apt.conf

# A suite that is gone must not take the others with it: what matters is whether the package is found.
if [[ ! -e $root/updated || -n $(find "$root/updated" -mmin +720) ]]; then
    if apt-get update >"$root/update.log" 2>&1; then
        touch "$root/updated"
    else
        sed 's/^/private-apt: /' "$root/update.log" | grep -E ': (E|W|Err)' >&2 || true
        compgen -G "$root/lists/*_Packages*" >/dev/null || trouble "no package list could be fetched for ${suites[*]}"
    fi
fi
exec "$@"
