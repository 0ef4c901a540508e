// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Server is Harbor's core.
type Server struct {
	config   Config
	tokens   *tokens
	registry http.Handler
	robots   *robotStore
	health   *health
	api      *http.ServeMux
	started  time.Time
}

// New makes a server; its health checks run until ctx ends.
func New(ctx context.Context, config Config) (*Server, error) {
	signing, err := newTokens(config.TokenKeyPath)
	if err != nil {
		return nil, err
	}
	s := &Server{
		config:   config,
		tokens:   signing,
		registry: newRegistryProxy(config),
		robots:   newRobotStore(config.Robots),
		health:   newHealth(ctx, config),
		api:      http.NewServeMux(),
		started:  time.Now(),
	}
	s.routes()
	return s, nil
}

// routes lists the API areas. A request that none of them takes is answered in Harbor's words.
func (s *Server) routes() {
	s.api.HandleFunc("GET /api/v2.0/ping", s.servePing)
	s.api.HandleFunc("GET /api/v2.0/health", s.serveHealth)
	s.api.HandleFunc("GET /api/v2.0/systeminfo", s.serveSystemInfo)
	s.api.HandleFunc("GET /api/v2.0/users/current", s.serveCurrentUser)
	s.robotRoutes()
	s.api.HandleFunc("/service/token", s.serveToken)
	s.api.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		sendError(w, apiError{"NOT_FOUND", fmt.Sprintf("path %s was not found", r.URL.Path)})
	})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := &recorder{ResponseWriter: w, status: http.StatusOK}
	s.serve(seen, r)
	if r.URL.Path != "/api/v2.0/ping" { // probes ask for it all the time
		slog.Info("answered", "status", seen.status, "method", r.Method, "host", r.Host, "path", r.URL.Path)
	}
}

// recorder keeps the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
		s.serveRegistry(w, r)
		return
	}
	s.api.ServeHTTP(w, r)
}
