// SPDX-License-Identifier: GPL-3.0-or-later

package pull

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// Hop is one server that gave content.
type Hop struct {
	URL string `json:"url"` // scheme://host[:port]
	IP  string `json:"ip"`
}

// Entry is one line of pulls.jsonl. URL and IP are those of the server that answered for the manifest.
type Entry struct {
	Time     time.Time `json:"time"`
	By       string    `json:"by"` // talos or cri
	Image    string    `json:"image"`
	Digest   string    `json:"digest,omitempty"`
	Size     int64     `json:"size,omitempty"`
	URL      string    `json:"url,omitempty"`
	IP       string    `json:"ip,omitempty"`
	Hops     []Hop     `json:"hops"`
	Cached   bool      `json:"cached"`   // the digest was there already: nothing but the tag was asked for
	Duration float64   `json:"duration"` // seconds
	Error    string    `json:"error,omitempty"`
}

// trail notes which servers gave content during one pull.
type trail struct {
	mu       sync.Mutex
	manifest Hop
	hops     []Hop
}

// follow gives hosts with their clients watched; what is asked for tokens is not.
func (t *trail) follow(hosts docker.RegistryHosts) docker.RegistryHosts {
	return func(name string) ([]docker.RegistryHost, error) {
		list, err := hosts(name)

		for i := range list {
			client := *list[i].Client
			client.Transport = &watched{trail: t, base: client.Transport}
			list[i].Client = &client
		}

		return list, err
	}
}

type watched struct {
	trail *trail
	base  http.RoundTripper
}

func (w *watched) RoundTrip(request *http.Request) (*http.Response, error) {
	var ip string

	traced := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			ip, _, _ = net.SplitHostPort(info.Conn.RemoteAddr().String()) //nolint:errcheck // "" says it all
		},
	})

	response, err := w.base.RoundTrip(request.WithContext(traced))
	if err == nil && response.StatusCode < http.StatusMultipleChoices {
		w.trail.add(Hop{URL: request.URL.Scheme + "://" + request.URL.Host, IP: ip}, strings.Contains(request.URL.Path, "/manifests/"))
	}

	return response, err
}

func (t *trail) add(hop Hop, manifest bool) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if manifest {
		t.manifest = hop
	}

	if !slices.Contains(t.hops, hop) {
		t.hops = append(t.hops, hop)
	}
}

func (t *trail) entry(by, name string, image Image, started time.Time, err error) Entry {
	t.mu.Lock()
	defer t.mu.Unlock()

	entry := Entry{
		Time: started.UTC(), By: by, Image: name, Digest: image.Digest, Size: image.Size, Cached: image.Cached,
		URL: t.manifest.URL, IP: t.manifest.IP, Hops: append([]Hop{}, t.hops...), Duration: time.Since(started).Seconds(),
	}
	if err != nil {
		entry.Error = err.Error()
	}

	return entry
}

// log adds one line to pulls.jsonl; one write per line, so that two processes may share the file.
func (n Node) log(entry Entry) {
	line, err := json.Marshal(entry)
	if err != nil {
		return
	}

	file, err := os.OpenFile(filepath.Join(n.State, "pulls.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close() //nolint:errcheck

	file.Write(append(line, '\n')) //nolint:errcheck
}
