// SPDX-License-Identifier: GPL-3.0-or-later

// Package mirrors does to containerd's folder of registry hosts what the first container of a Spegel v0.7.4 pod
// does, to the byte and with its losses: a registry that is not listed, one whose folder Talos wrote with
// underscores around the port, and an endpoint that Talos wrote as `server` are gone afterwards but for _backup.
package mirrors

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

const backup = "_backup"

// Options are the arguments of `spegel configuration`.
type Options struct {
	Folder     string
	Registries []string // empty: all, by _default
	Targets    []string
	Resolve    bool // Spegel answers for tags too, not for digests alone
	Prepend    bool // keep the [host] tables that were there, behind Spegel's
	Username   string
	Password   string
}

// Write checks all arguments, moves what is in the folder into _backup unless that exists, deletes the rest and
// writes a hosts.toml for each registry.
func Write(options Options) error {
	registries, err := parseAll(options.Registries, true)
	if err != nil {
		return err
	}
	targets, err := parseAll(options.Targets, false)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(options.Folder, 0o755); err != nil {
		return err
	}
	if err := backUp(options.Folder); err != nil {
		return err
	}
	if err := empty(options.Folder); err != nil {
		return err
	}
	for _, registry := range registries {
		if err := writeRegistry(options, registry, targets); err != nil {
			return err
		}
	}
	return nil
}

var wildcard = url.URL{Host: "_default"}

func parseAll(texts []string, wildcardAllowed bool) ([]url.URL, error) {
	if len(texts) == 0 && wildcardAllowed {
		return []url.URL{wildcard}, nil
	}
	parsed := make([]url.URL, 0, len(texts))
	for _, text := range texts {
		if text == "_default" || text == "*" {
			if !wildcardAllowed {
				return nil, errors.New("wildcard registries are not allowed")
			}
			if slices.Contains(parsed, wildcard) {
				return nil, errors.New("registries should not contain two wildcards")
			}
			parsed = append(parsed, wildcard)
			continue
		}
		one, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		if err := validate(one); err != nil {
			return nil, err
		}
		parsed = append(parsed, *one)
	}
	return parsed, nil
}

func validate(u *url.URL) error {
	var all []error
	add := func(bad bool, problem string) {
		if bad {
			all = append(all, fmt.Errorf("invalid registry url %s: %s", problem, u.String()))
		}
	}
	add(u.Scheme != "http" && u.Scheme != "https", "scheme must be http or https")
	add(u.Path != "", "path has to be empty")
	add(len(u.Query()) != 0, "query has to be empty")
	add(u.User != nil, "user has to be empty")
	return errors.Join(all...)
}

func backUp(folder string) error {
	target := filepath.Join(folder, backup)
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(folder, entry.Name()), filepath.Join(target, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == backup {
			continue
		}
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func writeRegistry(options Options, registry url.URL, targets []url.URL) error {
	text := hostsFile(options, registry, targets)
	// Talos writes host_5000_, Spegel looks for host:5000: nothing is found for a registry with a port.
	before := filepath.Join(options.Folder, backup, registry.Host)
	folder := filepath.Join(options.Folder, registry.Host)
	if options.Prepend {
		existing, err := hostTables(filepath.Join(before, "hosts.toml"))
		if err != nil {
			return err
		}
		if existing != "" {
			if err := copyOthers(before, folder); err != nil {
				return err
			}
			text += "\n\n" + existing
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "hosts.toml"), []byte(text), 0o644)
}

func hostsFile(options Options, registry url.URL, targets []url.URL) string {
	capabilities := "['pull']"
	if options.Resolve {
		capabilities = "['pull', 'resolve']"
	}
	var parts []string
	switch {
	case registry == wildcard:
	case registry.String() == "https://docker.io":
		parts = append(parts, "server = 'https://registry-1.docker.io'")
	default:
		parts = append(parts, fmt.Sprintf("server = '%s'", registry.String()))
	}
	for _, target := range targets {
		part := fmt.Sprintf("[host.'%s']\ncapabilities = %s\ndial_timeout = '200ms'", target.String(), capabilities)
		if options.Username != "" || options.Password != "" {
			part += fmt.Sprintf("\n[host.'%s'.header]\nAuthorization = '%s'", target.String(), basic(options))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "\n\n")
}

func basic(options Options) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(options.Username+":"+options.Password))
}

// hostTables gives the [host.'…'] tables of a file in their order, each written anew; whatever else it holds is lost.
func hostTables(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	type file struct {
		Hosts map[string]any `toml:"host"`
	}
	var all file
	if err := toml.Unmarshal(text, &all); err != nil {
		return "", err
	}
	var tables []string
	for _, name := range hostNames(text) {
		one, err := toml.Marshal(file{Hosts: map[string]any{name: all.Hosts[name]}})
		if err != nil {
			return "", err
		}
		tables = append(tables, strings.TrimPrefix(string(one), "[host]\n"))
	}
	return strings.TrimSpace(strings.Join(tables, "\n")), nil
}

// hostNames reads the names in the order of the file, which a map does not keep.
func hostNames(text []byte) []string {
	var names []string
	var parser unstable.Parser
	parser.Reset(text)
	for parser.NextExpression() {
		expression := parser.Expression()
		if expression.Kind != unstable.Table {
			continue
		}
		if key := expression.Key(); key.Next() && string(key.Node().Data) == "host" && key.Next() && key.IsLast() {
			names = append(names, string(key.Node().Data))
		}
	}
	return names
}

// copyOthers brings back the files beside hosts.toml: certificates its tables may name.
func copyOthers(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "hosts.toml" {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}
