// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const probeTimeout = 5 * time.Second

type component struct {
	Error  string `json:"error,omitempty"`
	Name   string `json:"name"`
	Status string `json:"status"`
}

// health answers from checks made every period, as Harbor does: after a component's restart it says "unhealthy"
// for a while yet, and before the first check it knows nothing.
type health struct {
	mutex  sync.Mutex
	errors map[string]error
}

// The sandbox has no database, portal, Redis or registry controller; core answers for them.
var components = []string{"core", "database", "jobservice", "portal", "redis", "registry", "registryctl"}

func newHealth(ctx context.Context, config Config) *health {
	unknown := errors.New("unknown status")
	h := &health{errors: map[string]error{"jobservice": unknown, "registry": unknown}}
	go h.watch(ctx, "jobservice", config.JobserviceURL+"/api/v1/stats", config.HealthPeriod)
	go h.watch(ctx, "registry", config.RegistryURL.String()+"/", config.HealthPeriod)
	return h
}

func (h *health) watch(ctx context.Context, name, address string, period time.Duration) {
	client := &http.Client{Timeout: probeTimeout}
	for ctx.Err() == nil {
		err := probe(ctx, client, address)
		h.mutex.Lock()
		h.errors[name] = err
		h.mutex.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(period):
		}
	}
}

func probe(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("failed to create request: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("failed to check health: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("received unexpected status code: %d", response.StatusCode)
	}
	return nil
}

// serveHealth is always 200; what is wrong stands in the body.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	s.health.mutex.Lock()
	defer s.health.mutex.Unlock()
	overall, all := "healthy", make([]component, 0, len(components))
	for _, name := range components {
		one := component{Name: name, Status: "healthy"}
		if err := s.health.errors[name]; err != nil {
			one.Status, one.Error, overall = "unhealthy", err.Error(), "unhealthy"
		}
		all = append(all, one)
	}
	sendJSON(w, "application/json", map[string]any{"status": overall, "components": all})
}

func (s *Server) servePing(w http.ResponseWriter, _ *http.Request) {
	sendJSON(w, "application/json", "Pong")
}
