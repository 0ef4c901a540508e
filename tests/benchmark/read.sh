#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a run of site.yml that changes nothing reads, read with kubectl, talosctl and curl, both clusters side by side:
# the yardstick of `make benchmark`. It only reads: what to make of it, and what to do about it, is the playbooks' work.
# Usage: read.sh CA-FILE, with KUBECONFIG and TALOSCONFIG that have the contexts alpha and beta
set -euo pipefail

CA=$1
NAME=harbor.example.com
ALIAS=envoy-proxy.envoy-gateway-system.svc.cluster.local

cluster() { # context, gateway's address, Harbor's namespace, nodes
  local k="kubectl --context=$1" gateway=$2 harbor=$3 nodes=$4 out="$OUT/$1" pod
  mkdir "$out"

  # Nodes: both configurations of each, the versions, and whether containerd has read its credentials.
  talosctl --context "$1" -n "$nodes" version > "$out/versions"
  talosctl --context "$1" -n "$nodes" get mc -o yaml > "$out/configurations"
  talosctl --context "$1" -n "$nodes" list --long /etc/cri/conf.d > "$out/credentials"
  talosctl --context "$1" -n "$nodes" service cri > "$out/containerd"

  # The gateway from outside: certificate and realm.
  web "$out/gateway" --resolve "$NAME:443:$gateway" -w '%{certs}' "https://$NAME/v2/"

  # What the steps are planned from.
  $k get services -A -o json > "$out/services"
  $k get gateways,httproutes,backendtrafficpolicies -A -o json > "$out/routes"
  $k get endpointslices -n envoy-gateway-system -o json > "$out/endpoints"
  $k get configmap -n kube-system coredns -o json > "$out/corefile"
  $k get helmrelease -n kube-system spegel -o json > "$out/release" 2> "$out/no-release" || true
  $k get deployments,statefulsets,daemonsets -A -o json > "$out/workloads"
  ! grep -q buildkitd "$out/workloads" || $k get configmaps -n buildkit -o json > "$out/builders"
  $k get -n "$harbor" -o json configmap/harbor-core configmap/harbor-jobservice-env > "$out/harbor"
  $k get pods -n "$harbor" -l 'app=harbor,component in (core,jobservice)' -o json > "$out/harbor-pods"

  # What each CoreDNS replica answers.
  for pod in $($k get pods -n kube-system -l k8s-app=kube-dns -o name); do
    forward "$1" kube-system "$pod" 53
    ask "$PORT" "$NAME" > "$out/bare"
    ask "$PORT" "$NAME.default.svc.cluster.local" > "$out/expanded"
    ask "$PORT" "$ALIAS" > "$out/target"
    unforward
    [ -s "$out/bare" ] && cmp "$out/bare" "$out/target"
  done

  # TLS, realm and a token through the alias Service.
  forward "$1" envoy-gateway-system service/envoy-proxy 443
  inside=(--connect-to "$NAME:443:127.0.0.1:$PORT" -w '%{certs}')
  web "$out/inside" "${inside[@]}" "https://$NAME/v2/"
  token=$(curl -sS --cacert "$CA" "${inside[@]:0:2}" -K <(echo "user=\"$CREDENTIALS\"") \
    "https://$NAME/service/token?service=harbor-registry&scope=repository:$REPOSITORY:pull" |
    sed -E 's/.*"token": ?"([^"]*)".*/\1/')
  web "$out/opened" "${inside[@]:0:2}" -K <(echo "header=\"Authorization: Bearer $token\"") \
    "https://$NAME/v2/" -o /dev/null "https://$NAME/v2/$REPOSITORY/tags/list"
  unforward
  grep -qi "realm=\"https://$NAME/" "$out/inside"
}

web() { # file for headers and -w, then curl's words
  local into=$1
  shift
  curl -sS --cacert "$CA" -o /dev/null -D - "$@" > "$into"
}

forward() { # context, namespace, pod or service, port; PORT is the local one
  coproc FORWARD { exec kubectl --context="$1" port-forward -n "$2" "$3" ":$4" 2> /dev/null; }
  read -r line <&"${FORWARD[0]}"
  PORT=${line##*127.0.0.1:} PORT=${PORT%% *}
}

unforward() {
  kill "$FORWARD_PID"
  wait "$FORWARD_PID" 2> /dev/null || true
}

ask() { # port, name: the addresses that DNS over TCP answers, as dig +tcp +short would, in hexadecimal
  local label name="" length
  for label in ${2//./ }; do
    name+=$(printf '\\x%02x%s' "${#label}" "$label")
  done
  length=$((${#2} + 2 + 16))
  exec 9<> "/dev/tcp/127.0.0.1/$1"
  printf "\\x00\\x$(printf %02x "$length")\\x53\\x48\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00$name\\x00\\x00\\x01\\x00\\x01" >&9
  length=$((16#$(head -c 2 <&9 | od -An -v -tx1 | tr -d ' \n')))
  head -c "$length" <&9 | od -An -v -tx1 | tr -d ' \n' | grep -oE '00010001[0-9a-f]{8}0004[0-9a-f]{8}' | grep -oE '.{8}$' | sort || true
  exec 9>&-
}

OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT
CREDENTIALS='robot$cluster-pull:sandbox-pull-secret'
REPOSITORY=library/split-horizon-proof

cluster alpha 203.0.113.7 default 10.5.0.2,10.5.0.3,10.5.0.4 &
alpha=$!
cluster beta 192.168.1.110 harbor 192.168.1.98
wait $alpha
