// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strconv"
	"strings"
)

var (
	catalogPath    = regexp.MustCompile(`^/v2/_catalog(/.*)?$`)
	repositoryPath = regexp.MustCompile(`^/v2/([a-z0-9][a-z0-9._/-]*)/(manifests/[^/]+|tags/list|blobs/[^/]+:[^/]+|blobs/uploads[^?]*|referrers/[^/]+)$`)
	digest         = regexp.MustCompile(`^[a-z0-9+._-]+:[0-9a-fA-F]{32,}$`)
)

// need is a right in a repository that a request calls for.
type need struct {
	repository, action string
}

func (n need) scope() string {
	asked := n.action
	if asked == "push" {
		asked = "pull,push"
	}
	return fmt.Sprintf("repository:%s:%s", n.repository, asked)
}

func needs(r *http.Request) []need {
	found := repositoryPath.FindStringSubmatch(r.URL.Path)
	action := map[string]string{
		http.MethodGet: "pull", http.MethodHead: "pull", http.MethodDelete: "delete",
		http.MethodPost: "push", http.MethodPatch: "push", http.MethodPut: "push",
	}[r.Method]
	if found == nil || action == "" {
		return nil
	}
	all := []need{{found[1], action}}
	if from := r.URL.Query().Get("from"); from != "" && r.Method == http.MethodPost {
		all = append(all, need{from, "pull"})
	}
	return all
}

// denial is a refusal: the challenge for the client's header, which may be empty, and the reason.
type denial struct {
	challenge, reason string
}

// check applies Harbor's rules to a request for /v2/.
func (s *Server) check(r *http.Request, who identity) *denial {
	wanted := needs(r)
	switch {
	case r.URL.Path == "/v2/":
		if !who.authenticated() {
			return &denial{s.challenge(r, nil), "unauthorized"}
		}
		return nil
	case catalogPath.MatchString(r.URL.Path):
		if !who.admin {
			return &denial{s.challenge(r, nil), "unauthorized to list catalog"}
		}
		return nil
	case wanted == nil:
		return &denial{"", fmt.Sprintf("un-recognized request: %s %s", r.Method, r.URL.Path)}
	}
	for _, n := range wanted {
		if r.Header.Get("Authorization") == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			return &denial{s.challenge(r, wanted), "authorize header needed to send HEAD to repository"}
		}
		owner, _, _ := strings.Cut(n.repository, "/")
		project, exists := s.config.Projects[owner]
		if !exists {
			return &denial{"", fmt.Sprintf("project %s not found", owner)}
		}
		if !who.can(n.action, owner, project.Public) {
			reason := fmt.Sprintf("unauthorized to access repository: %s, action: %s", n.repository, n.action)
			return &denial{s.challenge(r, wanted), reason}
		}
	}
	return nil
}

func (s *Server) challenge(r *http.Request, wanted []need) string {
	if r.Header.Get("Authorization") != "" || catalogPath.MatchString(r.URL.Path) {
		return `Basic realm="harbor"`
	}
	address := realm(r.Host, s.config.CoreURL, s.config.ExtEndpoint, before214(s.config.Version))
	text := fmt.Sprintf(`Bearer realm="%s",service="%s"`, address, service)
	scopes := make([]string, 0, len(wanted))
	for _, n := range wanted {
		scopes = append(scopes, n.scope())
	}
	if len(scopes) > 0 {
		text += fmt.Sprintf(`,scope="%s"`, strings.Join(scopes, " "))
	}
	return text
}

// serveRegistry checks a request and hands it to the distribution behind, under core's own credentials.
func (s *Server) serveRegistry(w http.ResponseWriter, r *http.Request) {
	for _, n := range needs(r) {
		if !strings.Contains(n.repository, "/") {
			sendError(w, apiError{"BAD_REQUEST", "bad request: invalid repository name: " + n.repository})
			return
		}
	}
	if denied := s.check(r, s.identify(r)); denied != nil {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.Header().Set("Www-Authenticate", denied.challenge)
		sendError(w, apiError{"UNAUTHORIZED", denied.reason + ": " + denied.reason})
		return
	}
	if _, reference, ok := manifest(r.URL.Path); ok && r.Method == http.MethodDelete && !digest.MatchString(reference) {
		sendError(w, apiError{"UNSUPPORTED", fmt.Sprintf("unsupported digest %s: invalid checksum digest format", reference)})
		return
	}
	s.registry.ServeHTTP(w, r)
}

func manifest(path string) (repository, reference string, ok bool) {
	repository, reference, ok = strings.Cut(strings.TrimPrefix(path, "/v2/"), "/manifests/")
	return repository, reference, ok
}

// newRegistryProxy keeps Host and what proxies in front have said, from which the distribution builds the Location
// of an upload.
func newRegistryProxy(config Config) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(config.RegistryURL)
			r.Out.Host = r.In.Host
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values, there := r.In.Header[name]; there {
					r.Out.Header[name] = values
				}
			}
			r.Out.SetBasicAuth(config.RegistryUser, config.RegistryPassword)
		},
		ModifyResponse: inHarborsWords,
	}
}

// inHarborsWords gives the distribution's "not found" for tags and manifests the body that Harbor sends from its
// own database, before it asks the distribution.
func inHarborsWords(response *http.Response) error {
	if response.StatusCode != http.StatusNotFound {
		return nil
	}
	path := response.Request.URL.Path
	message := ""
	if name, found := strings.CutSuffix(strings.TrimPrefix(path, "/v2/"), "/tags/list"); found {
		message = fmt.Sprintf("repository %s not found", name)
	} else if repository, reference, ok := manifest(path); ok {
		separator := ":"
		if digest.MatchString(reference) {
			separator = "@"
		}
		message = fmt.Sprintf("artifact %s%s%s not found", repository, separator, reference)
	}
	if message == "" {
		return nil
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	body := apiError{"NOT_FOUND", message}.body()
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header = http.Header{
		"Content-Type":   {"application/json; charset=utf-8"},
		"Content-Length": {strconv.Itoa(len(body))},
	}
	return nil
}
