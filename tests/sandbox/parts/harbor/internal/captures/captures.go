// SPDX-License-Identifier: GPL-3.0-or-later

// Package captures finds what was recorded from the released programs, kept beside the checkout.
package captures

import (
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Load reads a YAML capture, named from the folder of all captures, or skips the test where there is none.
func Load(t *testing.T, name string, into any) {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(root), "shared", filepath.FromSlash(name))
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Skipf("no capture ../shared/%s beside the checkout", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// repository is the nearest folder upwards that holds galaxy.yml.
func repository() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "galaxy.yml")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", os.ErrNotExist
		}
		folder = parent
	}
}
