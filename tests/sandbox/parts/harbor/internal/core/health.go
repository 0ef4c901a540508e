// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	probeTimeout = 5 * time.Second
	retryPause   = 300 * time.Millisecond
)

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

// The sandbox has no portal, Redis or registry controller; core answers for them.
var components = []string{"core", "database", "jobservice", "portal", "redis", "registry", "registryctl"}

func newHealth(ctx context.Context, config Config) *health {
	unknown := errors.New("unknown status")
	h := &health{errors: map[string]error{"jobservice": unknown, "registry": unknown}}
	client := &http.Client{Timeout: probeTimeout}
	for name, address := range map[string]string{
		"jobservice": config.JobserviceURL + "/api/v1/stats",
		"registry":   config.RegistryURL.String() + "/",
	} {
		go h.watch(ctx, name, config.HealthPeriod, func() error { return probe(ctx, client, address) })
	}
	if config.Database != "" {
		h.errors["database"] = unknown
		go h.watch(ctx, "database", config.HealthPeriod, func() error { return ping(ctx, config.Database) })
	}
	return h
}

// ping opens a connection to the database, which is all the sandbox has of one.
func ping(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: probeTimeout}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("failed to run SQL \"SELECT 1\": %w", err)
	}
	return connection.Close()
}

// AwaitDatabase returns when the database takes connections. Harbor gives up after a minute, and ends.
func AwaitDatabase(ctx context.Context, address string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for address != "" {
		err := ping(ctx, address)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
	return nil
}

func (h *health) watch(ctx context.Context, name string, period time.Duration, check func() error) {
	for ctx.Err() == nil {
		err := check()
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
