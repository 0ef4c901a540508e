// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sandboxTable = "../../../../images.yaml"

func TestSandboxTable(t *testing.T) {
	known, err := readTable(sandboxTable)
	if err != nil {
		t.Fatal(err)
	}

	for ref, want := range map[string]string{
		"registry.k8s.io/coredns/coredns:v1.14.7":               "/coredns",
		"goharbor/harbor-core:v2.15.2":                          "/harbor/harbor_core",
		"docker.io/goharbor/harbor-jobservice:v2.15.2":          "/harbor/harbor_jobservice",
		"goharbor/registry-photon:v2.15.2":                      "/usr/bin/registry_DO_NOT_USE_GC",
		"ghcr.io/spegel-org/spegel:v0.7.4":                      "/app/spegel",
		"docker.io/envoyproxy/gateway:v1.9.1":                   "/usr/local/bin/envoy-gateway",
		"docker.io/envoyproxy/envoy:distroless-v1.40.0":         "/usr/local/bin/envoy",
		"envoyproxy/envoy:distroless-v1.40.0@sha256:" + zeros:   "/usr/local/bin/envoy",
		"registry.k8s.io/pause:3.10":                            "/bin/sh",
		"sandbox.example/toolbox:1":                             "/bin/sh",
		"harbor.example.com/library/coredns:v1":                 "",
		"harbor.example.com/registry.k8s.io/coredns/coredns:v1": "",
		"registry.k8s.io/coredns/coredns/more:v1":               "",
		"docker.io/library/pause:3.10":                          "",
		"sandbox.example/toolbox@sha256:" + zeros:               "",
		"harbor.example.com:8443/goharbor/harbor-core:v2.15.2":  "",
	} {
		t.Run(ref, func(t *testing.T) {
			entry, found := known.find(ref)
			if found != (want != "") || found && entry.Entrypoint[0] != want {
				t.Fatalf("got %+v, %v", entry, found)
			}
		})
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestTableRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no pattern":    "images: [{program: x, path: /x}]",
		"bad pattern":   "images: [{image: 'a[', program: x, path: /x}]",
		"relative path": "images: [{image: a, program: x, path: x}]",
		"not YAML":      "images: [",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "images.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}

			if _, err := readTable(file); err == nil || !strings.HasPrefix(err.Error(), file) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestFullName(t *testing.T) {
	for ref, want := range map[string]string{
		"busybox":                       "docker.io/library/busybox:latest",
		"busybox:1":                     "docker.io/library/busybox:1",
		"goharbor/harbor-core:v2":       "docker.io/goharbor/harbor-core:v2",
		"localhost/x":                   "localhost/x:latest",
		"192.168.1.105/library/x":       "192.168.1.105/library/x:latest",
		"a.example:5000/x":              "a.example:5000/x:latest",
		"a.example/x@sha256:" + zeros:   "a.example/x@sha256:" + zeros,
		"a.example/x:1@sha256:" + zeros: "a.example/x:1@sha256:" + zeros,
	} {
		if got := fullName(ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
}
