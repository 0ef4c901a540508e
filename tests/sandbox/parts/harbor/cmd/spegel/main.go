// SPDX-License-Identifier: GPL-3.0-or-later

// Command spegel is the sandbox's stand-in for Spegel v0.7.4: its configuration step, and a registry in which no
// peer ever has anything. It takes the released program's arguments, in all forms that its chart writes.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/alexflint/go-arg"

	"splithorizon.example/sandbox/harbor/internal/mirrors"
	"splithorizon.example/sandbox/harbor/internal/service"
)

const credentials = "/etc/secrets/basic-auth"

type configurationCommand struct {
	Folder     string   `arg:"--containerd-registry-config-path,env:CONTAINERD_REGISTRY_CONFIG_PATH" default:"/etc/containerd/certs.d"`
	Registries []string `arg:"--mirrored-registries,env:MIRRORED_REGISTRIES"`
	Targets    []string `arg:"--mirror-targets,env:MIRROR_TARGETS,required"`
	Resolve    bool     `arg:"--resolve-tags,env:RESOLVE_TAGS" default:"true"`
	Prepend    bool     `arg:"--prepend-existing,env:PREPEND_EXISTING" default:"false"`
}

// registryCommand has effect by --registry-addr only; the rest is there to be accepted.
type registryCommand struct {
	Address              string        `arg:"--registry-addr,env:REGISTRY_ADDR" default:":5000"`
	MetricsAddress       string        `arg:"--metrics-addr,env:METRICS_ADDR" default:":9090"`
	RouterAddress        string        `arg:"--router-addr,env:ROUTER_ADDR" default:":5001"`
	ContainerdSocket     string        `arg:"--containerd-sock,env:CONTAINERD_SOCK" default:"/run/containerd/containerd.sock"`
	ContainerdNamespace  string        `arg:"--containerd-namespace,env:CONTAINERD_NAMESPACE" default:"k8s.io"`
	ContainerdContent    string        `arg:"--containerd-content-path,env:CONTAINERD_CONTENT_PATH"`
	DataFolder           string        `arg:"--data-dir,env:DATA_DIR"`
	Registries           []string      `arg:"--mirrored-registries,env:MIRRORED_REGISTRIES"`
	Filters              []string      `arg:"--registry-filters,env:REGISTRY_FILTERS"`
	ResolveTimeout       time.Duration `arg:"--mirror-resolve-timeout,env:MIRROR_RESOLVE_TIMEOUT" default:"20ms"`
	ResolveRetries       int           `arg:"--mirror-resolve-retries,env:MIRROR_RESOLVE_RETRIES" default:"3"`
	DebugWeb             bool          `arg:"--debug-web-enabled,env:DEBUG_WEB_ENABLED" default:"true"`
	BootstrapKind        string        `arg:"--bootstrap-kind,env:BOOTSTRAP_KIND"`
	DNSBootstrapDomain   string        `arg:"--dns-bootstrap-domain,env:DNS_BOOTSTRAP_DOMAIN"`
	HTTPBootstrapAddress string        `arg:"--http-bootstrap-addr,env:HTTP_BOOTSTRAP_ADDR"`
	HTTPBootstrapPeer    string        `arg:"--http-bootstrap-peer,env:HTTP_BOOTSTRAP_PEER"`
	StaticBootstrapPeers []string      `arg:"--static-bootstrap-peers,env:STATIC_BOOTSTRAP_PEERS"`
}

type arguments struct {
	Configuration *configurationCommand `arg:"subcommand:configuration"`
	Registry      *registryCommand      `arg:"subcommand:registry"`
	LogLevel      slog.Level            `arg:"--log-level,env:LOG_LEVEL" default:"INFO"`
}

func main() {
	var args arguments
	arg.MustParse(&args)
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: args.LogLevel})))
	service.Exit(run(args))
}

func run(args arguments) error {
	switch {
	case args.Configuration != nil:
		return configure(*args.Configuration)
	case args.Registry != nil:
		return service.Serve(args.Registry.Address, registry(), 0)
	default:
		return errors.New("unknown subcommand")
	}
}

func configure(command configurationCommand) error {
	username, err := secret("username")
	if err != nil {
		return err
	}
	password, err := secret("password")
	if err != nil {
		return err
	}
	command.Targets[0] = bracketed(command.Targets[0])
	return mirrors.Write(mirrors.Options{
		Folder: command.Folder, Registries: command.Registries, Targets: command.Targets,
		Resolve: command.Resolve, Prepend: command.Prepend, Username: username, Password: password,
	})
}

func secret(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(credentials, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// bracketed makes http://fd00::1:30020, which the chart writes on an IPv6 node, a URL.
func bracketed(target string) string {
	scheme, host, found := strings.Cut(target, "://")
	last := strings.LastIndex(host, ":")
	if !found || strings.Count(host, ":") < 2 || strings.Contains(host, "[") {
		return target
	}
	return fmt.Sprintf("%s://[%s]%s", scheme, host[:last], host[last:])
}

// registry is always ready, and has no image.
func registry() http.Handler {
	ok := func(http.ResponseWriter, *http.Request) {}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", ok)
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /v2/", func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != "/v2" {
			slog.Info("no peer has it", "path", r.URL.Path, "registry", r.URL.Query().Get("ns"))
			http.Error(w, "could not find peer", http.StatusNotFound)
		}
	})
	return mux
}
