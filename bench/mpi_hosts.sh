#!/usr/bin/env bash
# Makes several hosts of this machine: network namespaces, each with a name and an address of its own, behind a switch
# that leads nowhere else. Runs a command on the first of them; `mpirun -n N` in it starts a rank on each in turn.
# Usage: bench/mpi_hosts.sh [-r RATE] HOSTS COMMAND...
#   -r RATE   what a host can send, as tc writes it: 1gbit, 100mbit (default: what the machine can)
# In COMMAND $MPI_HOSTS is the prefix of the namespaces: `ip netns exec $MPI_HOSTS1 ip link set eth0 down` cuts host 1 off,
# `ip -n $MPI_HOSTS1 -s link show eth0` counts its bytes. Exit status: the command's; 77 without root, iproute2 or namespaces.
set -euo pipefail

rate=''
while getopts r: flag; do
  case $flag in
    r) rate=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
(($# >= 2)) || { sed -n 4,5p "$0" >&2; exit 2; }
hosts=$1
shift

prefix=spk$$h
work=$(mktemp -d)
cleanup() {
  trap - EXIT INT TERM
  local name
  for name in $(ip netns list 2>/dev/null | awk -v p="$prefix" 'index($1, p) == 1 { print $1 }'); do
    # shellcheck disable=SC2046  # ids, or nothing
    kill -KILL $(ip netns pids "$name") 2>/dev/null || true
    ip netns delete "$name" || true
  done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

skip() {
  echo "skipped: $1" >&2
  exit 77
}
((EUID == 0)) || skip "network namespaces need root"
[[ $(command -v ip) && $(command -v mpirun) ]] || skip "no iproute2 or no mpirun"
ip netns add "${prefix}-switch" 2>/dev/null || skip "no network namespaces here"

switch() { ip -n "${prefix}-switch" "$@"; }
switch link add bridge type bridge
switch link set bridge up
for ((i = 0; i < hosts; ++i)); do
  name=$prefix$i
  ip netns add "$name"
  switch link add "port$i" type veth peer name eth0 netns "$name"
  switch link set "port$i" master bridge up
  ip -n "$name" link set lo up
  ip -n "$name" address add "10.99.0.$((i + 1))/24" dev eth0
  ip -n "$name" link set eth0 up
  [[ -z $rate ]] || tc -n "$name" qdisc add dev eth0 root tbf rate "$rate" burst 256kb limit 64mb
  echo "10.99.0.$((i + 1)) slots=1" >> "$work/hostfile"
done

# What mpirun uses for ssh: HOST COMMAND...
cat > "$work/agent" <<EOF
#!/usr/bin/env bash
number=\$((\${1##*.} - 1))
shift
exec ip netns exec $prefix\$number unshare --uts bash -c "hostname node\$number; \$*"
EOF
chmod +x "$work/agent"

export MPI_HOSTS=$prefix
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_plm_rsh_agent=$work/agent OMPI_MCA_plm_rsh_no_tree_spawn=1 OMPI_MCA_orte_default_hostfile=$work/hostfile
export OMPI_MCA_rmaps_base_mapping_policy=node OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
ip netns exec "${prefix}0" unshare --uts bash -c 'hostname node0; "$@"' mpi_hosts "$@"
