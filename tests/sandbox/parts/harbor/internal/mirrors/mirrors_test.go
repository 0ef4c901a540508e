// SPDX-License-Identifier: GPL-3.0-or-later

package mirrors

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"splithorizon.example/sandbox/harbor/internal/captures"
)

var targets = []string{"http://10.0.0.5:30020", "http://10.0.0.5:30021"} // those of the capture

func TestCapture(t *testing.T) {
	var cases []struct {
		Name   string
		Before map[string]string
		Runs   []struct {
			MirroredRegistries []string `yaml:"mirrored_registries"`
			PrependExisting    bool     `yaml:"prepend_existing"`
			RC                 int      `yaml:"rc"`
			Error              []string
			After              map[string]string
		}
	}
	captures.Load(t, "spegel-0.7.4/ground-truth.yaml", &cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			folder := tree(t, c.Before)
			for _, run := range c.Runs {
				err := Write(Options{
					Folder: folder, Registries: run.MirroredRegistries, Targets: targets,
					Resolve: true, Prepend: run.PrependExisting,
				})
				if (err != nil) != (run.RC != 0) {
					t.Fatalf("rc %d expected, got error %v", run.RC, err)
				}
				if err != nil {
					got := strings.ReplaceAll(err.Error(), "\n", "; ")
					if !slices.Equal([]string{got}, run.Error) {
						t.Errorf("error %q, want %q", got, run.Error)
					}
				}
				same(t, read(t, folder), run.After)
			}
		})
	}
}

func TestCertificatesComeBackWithTheTablesThatNameThem(t *testing.T) {
	hosts := "[host]\n  [host.'https://mirror.example.com']\n    ca = '/h/mirror-ca.crt'\n"
	before := map[string]string{"r.example.com/hosts.toml": hosts, "r.example.com/mirror-ca.crt": "PEM"}
	for _, prepend := range []bool{true, false} {
		folder := tree(t, before)
		err := Write(Options{Folder: folder, Registries: []string{"https://r.example.com"}, Targets: targets, Prepend: prepend})
		if err != nil {
			t.Fatal(err)
		}
		if _, there := read(t, folder)["r.example.com/mirror-ca.crt"]; there != prepend {
			t.Errorf("prepend %t: certificate there: %t", prepend, there)
		}
	}
}

// A mirror patched twice into Talos gives the same table twice, on which Spegel's pod does not start.
func TestATableTwiceIsAnError(t *testing.T) {
	table := "[host.'http://a']\ncapabilities = ['pull']\n"
	folder := tree(t, map[string]string{"r.example.com/hosts.toml": table + table})
	if Write(Options{Folder: folder, Registries: []string{"https://r.example.com"}, Targets: targets, Prepend: true}) == nil {
		t.Error("no error")
	}
}

func TestCredentialsStandInEachTable(t *testing.T) {
	folder := tree(t, nil)
	err := Write(Options{Folder: folder, Registries: []string{"*"}, Targets: targets[:1], Username: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, read(t, folder), map[string]string{"_default/hosts.toml": "[host.'http://10.0.0.5:30020']\n" +
		"capabilities = ['pull']\ndial_timeout = '200ms'\n[host.'http://10.0.0.5:30020'.header]\nAuthorization = 'Basic dTpw'"})
}

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func read(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text, there := got[name]; !there || text != want[name] {
			t.Errorf("%s (there: %t):\n%s\nwant:\n%s", name, there, text, want[name])
		}
	}
	for name := range got {
		if _, wanted := want[name]; !wanted {
			t.Errorf("%s should not be there", name)
		}
	}
}
