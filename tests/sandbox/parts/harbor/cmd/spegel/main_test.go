// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alexflint/go-arg"
)

func parse(t *testing.T, line string) (arguments, error) {
	t.Helper()
	var args arguments
	parser, err := arg.NewParser(arg.Config{Program: "spegel"}, &args)
	if err != nil {
		t.Fatal(err)
	}
	return args, parser.Parse(strings.Fields(line))
}

func TestArgumentsAsTheChartWritesThem(t *testing.T) {
	args, err := parse(t, "configuration --log-level=INFO --containerd-registry-config-path=/etc/cri/conf.d/hosts"+
		" --mirrored-registries https://docker.io http://192.168.1.105"+
		" --mirror-targets http://10.0.0.5:30020 http://10.0.0.5:30021 --resolve-tags=false --prepend-existing=true")
	if err != nil {
		t.Fatal(err)
	}
	got := args.Configuration
	if got == nil || got.Folder != "/etc/cri/conf.d/hosts" || got.Resolve || !got.Prepend ||
		!slices.Equal(got.Registries, []string{"https://docker.io", "http://192.168.1.105"}) ||
		!slices.Equal(got.Targets, []string{"http://10.0.0.5:30020", "http://10.0.0.5:30021"}) {
		t.Errorf("%+v", got)
	}
	args, err = parse(t, "registry --log-level=INFO --mirror-resolve-retries=3 --mirror-resolve-timeout=20ms --registry-addr=:5000"+
		" --router-addr=:5001 --metrics-addr=:9090 --mirrored-registries https://docker.io"+
		" --containerd-sock=/run/containerd/containerd.sock --containerd-namespace=k8s.io --bootstrap-kind=dns"+
		" --dns-bootstrap-domain=spegel-bootstrap.kube-system.svc.cluster.local. --registry-filters a b"+
		" --containerd-content-path=/var/lib/containerd/io.containerd.content.v1.content --debug-web-enabled=true")
	if err != nil || args.Registry == nil || args.Registry.Address != ":5000" {
		t.Errorf("%+v: %v", args.Registry, err)
	}
}

func TestArgumentsThatAreNoneAreRefused(t *testing.T) {
	for _, line := range []string{
		"configuration", "configuration --mirror-targets http://a:1 --prepend-existing=maybe",
		"configuration --mirror-targets http://a:1 --registries https://docker.io",
	} {
		if _, err := parse(t, line); err == nil {
			t.Errorf("%s: accepted", line)
		}
	}
}

func TestAnIPv6NodeGetsBrackets(t *testing.T) {
	folder := t.TempDir()
	err := configure(configurationCommand{
		Folder: folder, Registries: []string{"https://quay.io"}, Targets: []string{"http://fd00::5:30020"}, Resolve: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "quay.io", "hosts.toml"))
	if err != nil || !strings.Contains(string(text), "[host.'http://[fd00::5]:30020']") {
		t.Errorf("%s %v", text, err)
	}
}

func TestARegistryThatIsReadyAndEmpty(t *testing.T) {
	for path, want := range map[string]int{
		"/readyz": 200, "/livez": 200, "/v2/": 200, "/v2/library/web/manifests/1?ns=docker.io": 404, "/": 404,
	} {
		answer := httptest.NewRecorder()
		registry().ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d", path, answer.Code, want)
		}
	}
}
