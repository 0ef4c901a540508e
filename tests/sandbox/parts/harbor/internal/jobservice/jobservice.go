// SPDX-License-Identifier: GPL-3.0-or-later

// Package jobservice answers as Harbor's job service does to its probes. It runs no jobs.
package jobservice

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const retryPause = 300 * time.Millisecond

// AwaitCore returns when core answers at CORE_URL. Harbor's job service reads its settings there before it serves
// anything, tries five times with growing pauses, and ends.
func AwaitCore(ctx context.Context, coreURL string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx, coreURL+"/api/v2.0/ping")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("job context initialization error: %w", err)
		case <-time.After(retryPause):
		}
	}
}

func ask(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, answer.Status)
	}
	return nil
}

type pool struct {
	ID          string   `json:"worker_pool_id"`
	StartedAt   int64    `json:"started_at"`
	HeartbeatAt int64    `json:"heartbeat_at"`
	JobNames    []string `json:"job_names"`
	Concurrency uint     `json:"concurrency"`
	Status      string   `json:"status"`
}

// New serves /api/v1/stats, open to all, and /sandbox/settings: the CORE_URL this process took at its start.
// Harbor's replication compares it with core's and loses its rights where the two differ.
func New(coreURL string, now func() time.Time) http.Handler {
	started := now().Unix()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stats", func(w http.ResponseWriter, _ *http.Request) {
		send(w, http.StatusOK, map[string][]pool{"worker_pools": {{
			ID: "sandbox", StartedAt: started, HeartbeatAt: now().Unix(),
			JobNames: []string{"REPLICATION"}, Concurrency: 1, Status: "Healthy",
		}}})
	})
	mux.HandleFunc("GET /sandbox/settings", func(w http.ResponseWriter, _ *http.Request) {
		send(w, http.StatusOK, map[string]string{"CORE_URL": coreURL})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		send(w, http.StatusUnauthorized, map[string]any{"code": 10001, "message": "Unauthorized"})
	})
	return mux
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
