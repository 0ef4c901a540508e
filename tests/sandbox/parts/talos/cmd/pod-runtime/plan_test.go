// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slices"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var coredns = program{Image: "registry.k8s.io/coredns/coredns:*", Program: "coredns", Path: "/coredns", Entrypoint: []string{"/coredns"}}

func TestArguments(t *testing.T) {
	image := program{Image: "x", Entrypoint: []string{"/x"}, Arguments: []string{"serve"}}
	cases := map[string]struct {
		command, arguments, want []string
		image                    program
	}{
		"image's own":                       {nil, nil, []string{"/x", "serve"}, image},
		"arguments replace arguments":       {nil, []string{"-v"}, []string{"/x", "-v"}, image},
		"command replaces both":             {[]string{"/y"}, nil, []string{"/y"}, image},
		"command and arguments":             {[]string{"/y"}, []string{"-v"}, []string{"/y", "-v"}, image},
		"nothing to run is an error":        {nil, nil, nil, program{Image: "x"}},
		"arguments alone name no programme": {nil, []string{"sh"}, []string{"sh"}, program{Image: "x"}},
	}

	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := arguments(&cri.ContainerConfig{Command: one.command, Args: one.arguments}, one.image)
			if !slices.Equal(got, one.want) || (err != nil) != (one.want == nil) {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

func TestEnvironmentOfThePodWins(t *testing.T) {
	got := environment(&cri.ContainerConfig{Envs: []*cri.KeyValue{
		{Key: "HOME", Value: []byte("/data")}, {Key: "A", Value: []byte("1")}, {Key: "A", Value: []byte("2")},
	}}, "pod-1")

	want := []string{"PATH=" + defaultPath, "HOSTNAME=pod-1", "HOME=/data", "A=2"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
}

// The kubelet lists mounts in the pod's order; a volume inside another one must come after it.
func TestMountsFromOuterToInner(t *testing.T) {
	got, err := mounts(&cri.ContainerConfig{Mounts: []*cri.Mount{
		{ContainerPath: "/etc/core/key", HostPath: "/var/lib/kubelet/a", Readonly: true},
		{ContainerPath: "/etc/core/", HostPath: "/var/lib/kubelet/b"},
		{ContainerPath: "/etc/core/app.conf", HostPath: "/var/lib/kubelet/c"},
	}}, coredns)
	if err != nil {
		t.Fatal(err)
	}

	want := []mountPlan{
		{Source: "/run/host/bin/coredns", Target: "/coredns", ReadOnly: true},
		{Source: "/var/lib/kubelet/b", Target: "/etc/core"},
		{Source: "/var/lib/kubelet/a", Target: "/etc/core/key", ReadOnly: true},
		{Source: "/var/lib/kubelet/c", Target: "/etc/core/app.conf"},
	}
	if own := got[len(lentEtc):]; !slices.Equal(own, want) {
		t.Fatalf("got %+v", own)
	}
}

func TestMountsRefused(t *testing.T) {
	for name, mount := range map[string]*cri.Mount{
		"image volume":  {ContainerPath: "/x", Image: &cri.ImageSpec{Image: "x"}},
		"bidirectional": {ContainerPath: "/x", HostPath: "/y", Propagation: cri.MountPropagation_PROPAGATION_BIDIRECTIONAL},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mounts(&cri.ContainerConfig{Mounts: []*cri.Mount{mount}}, coredns)
			if err == nil || !strings.Contains(err.Error(), "/x") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestResolvConf(t *testing.T) {
	const ofNode = "nameserver 10.5.0.1\n"

	full := &cri.DNSConfig{
		Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local", "cluster.local"}, Options: []string{"ndots:5", "edns0"},
	}
	cases := map[string]struct {
		config *cri.DNSConfig
		want   string
	}{
		"none: the node's":  {nil, ofNode},
		"empty: the node's": {&cri.DNSConfig{}, ofNode},
		"the pod's":         {full, "search default.svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5 edns0\n"},
	}

	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			if got := resolvConf(one.config, ofNode); got != one.want {
				t.Fatalf("got %q", got)
			}
		})
	}
}
