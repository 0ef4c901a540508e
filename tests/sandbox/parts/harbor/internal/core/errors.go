// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"encoding/json"
	"net/http"
)

// apiError is one entry of Harbor's error body; its code decides the status.
type apiError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e apiError) status() int {
	return map[string]int{
		"BAD_REQUEST":  http.StatusBadRequest,
		"UNSUPPORTED":  http.StatusBadRequest,
		"UNAUTHORIZED": http.StatusUnauthorized,
		"FORBIDDEN":    http.StatusForbidden,
		"NOT_FOUND":    http.StatusNotFound,
		"CONFLICT":     http.StatusConflict,
		"PRECONDITION": http.StatusPreconditionFailed,
	}[e.Code]
}

func (e apiError) body() []byte {
	text, _ := json.Marshal(map[string][]apiError{"errors": {e}}) // strings always encode
	return append(text, '\n')
}

func sendError(w http.ResponseWriter, e apiError) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(e.status())
	_, _ = w.Write(e.body())
}

func sendJSON(w http.ResponseWriter, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	_ = json.NewEncoder(w).Encode(body)
}
