#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What a run that changes nothing reads, read with kubectl and talosctl: the yardstick of `make benchmark`.
set -euo pipefail
CA=$1

cluster() { # context, gateway address, Harbor's namespace, nodes
  local k="kubectl --context=$1" harbor=$3
  talosctl --context "$1" -n "$4" get machineconfig -o yaml > /dev/null
  talosctl --context "$1" -n "$4" version > /dev/null
  curl -sS --cacert "$CA" --resolve "harbor.example.com:443:$2" -o /dev/null https://harbor.example.com/v2/
  $k get pods -A -l gateway.envoyproxy.io/owning-gateway-name=envoy-gateway -o json > /dev/null
  $k get service -n envoy-gateway-system envoy-proxy -o json > /dev/null
  $k get configmap -n kube-system coredns -o json > /dev/null
  $k get helmrelease,daemonset -n kube-system spegel -o json > /dev/null 2>&1 || $k get daemonset -n kube-system spegel -o json > /dev/null
  $k get configmap -n "$harbor" harbor-core harbor-jobservice-env -o json > /dev/null
  for pod in $($k get pods -n kube-system -l k8s-app=kube-dns -o name); do
    $k exec -n toolbox toolbox -- true > /dev/null
    $k get -n kube-system "$pod" -o json > /dev/null
  done
  $k exec -n toolbox toolbox -- curl -sS --cacert /etc/sandbox/ca.crt -o /dev/null https://harbor.example.com/v2/
}

cluster alpha 203.0.113.7 default 10.5.0.2,10.5.0.3,10.5.0.4
cluster beta 192.168.1.110 harbor 192.168.1.98
