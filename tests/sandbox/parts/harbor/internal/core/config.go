// SPDX-License-Identifier: GPL-3.0-or-later

// Package core is a front for a CNCF distribution that answers as Harbor's core does: the token realm, the token
// service, who may do what in /v2/, health and system information. One file per API area; an area adds its routes
// in its own function, listed in Server.routes.
package core

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Config is what the process reads once at its start. Upper-case names are environment keys: those of the chart's
// ConfigMap and Secret keep their names and meaning, those of the sandbox alone begin with SANDBOX_.
type Config struct {
	ExtEndpoint   string // EXT_ENDPOINT
	CoreURL       string // CORE_URL, without a closing slash
	RegistryURL   *url.URL
	JobserviceURL string
	Database      string // POSTGRESQL_HOST and POSTGRESQL_PORT; empty: none is waited for, and none is ill

	AdminPassword    string // HARBOR_ADMIN_PASSWORD
	RegistryUser     string // REGISTRY_CREDENTIAL_USERNAME
	RegistryPassword string // REGISTRY_CREDENTIAL_PASSWORD
	TokenKeyPath     string // TOKEN_PRIVATE_KEY_PATH, PEM; empty: a key of this process only

	Listen       string           // SANDBOX_LISTEN, an address without port, and PORT
	Version      string           // SANDBOX_HARBOR_VERSION; below 2.14 the realm follows the older rule
	Startup      time.Duration    // SANDBOX_STARTUP_SECONDS
	HealthPeriod time.Duration    // SANDBOX_HEALTH_PERIOD_SECONDS
	Robots       map[string]Robot // SANDBOX_ROBOTS: JSON, name with its prefix → Robot
	Projects     map[string]Project
}

// Robot is a robot account. Permissions gives, for a project or for "*" (all), the actions pull, push and delete.
type Robot struct {
	Secret      string              `json:"secret"`
	Permissions map[string][]string `json:"permissions"`
}

// Project is a project, from SANDBOX_PROJECTS: JSON, name → Project. There is none but these.
type Project struct {
	Public bool `json:"public"`
}

const (
	defaultVersion  = "v2.15.2-080b022"
	defaultProjects = `{"library": {"public": false}}`
	defaultKeyPath  = "/etc/core/private_key.pem"
)

// FromEnvironment reads the configuration; get is os.Getenv.
func FromEnvironment(get func(string) string) (Config, error) {
	or := func(name, fallback string) string {
		if value := get(name); value != "" {
			return value
		}
		return fallback
	}
	config := Config{
		ExtEndpoint:      get("EXT_ENDPOINT"),
		CoreURL:          strings.TrimSuffix(get("CORE_URL"), "/"),
		JobserviceURL:    strings.TrimSuffix(get("JOBSERVICE_URL"), "/"),
		AdminPassword:    or("HARBOR_ADMIN_PASSWORD", "Harbor12345"),
		RegistryUser:     get("REGISTRY_CREDENTIAL_USERNAME"),
		RegistryPassword: get("REGISTRY_CREDENTIAL_PASSWORD"),
		TokenKeyPath:     get("TOKEN_PRIVATE_KEY_PATH"),
		Listen:           get("SANDBOX_LISTEN") + ":" + or("PORT", "8080"),
		Version:          or("SANDBOX_HARBOR_VERSION", defaultVersion),
	}
	if config.TokenKeyPath == "" {
		if _, err := os.Stat(defaultKeyPath); err == nil {
			config.TokenKeyPath = defaultKeyPath
		}
	}
	if host := get("POSTGRESQL_HOST"); host != "" {
		config.Database = net.JoinHostPort(host, or("POSTGRESQL_PORT", "5432"))
	}
	for name, value := range map[string]string{"EXT_ENDPOINT": config.ExtEndpoint, "CORE_URL": config.CoreURL} {
		if value == "" {
			return Config{}, fmt.Errorf("%s is not set", name)
		}
	}
	var err error
	if config.RegistryURL, err = url.Parse(get("REGISTRY_URL")); err != nil || config.RegistryURL.Host == "" {
		return Config{}, fmt.Errorf("REGISTRY_URL is not a URL: %q", get("REGISTRY_URL"))
	}
	if config.Startup, err = seconds("SANDBOX_STARTUP_SECONDS", or("SANDBOX_STARTUP_SECONDS", "0")); err != nil {
		return Config{}, err
	}
	period := or("SANDBOX_HEALTH_PERIOD_SECONDS", "2")
	if config.HealthPeriod, err = seconds("SANDBOX_HEALTH_PERIOD_SECONDS", period); err != nil {
		return Config{}, err
	}
	if err := json.Unmarshal([]byte(or("SANDBOX_ROBOTS", "{}")), &config.Robots); err != nil {
		return Config{}, fmt.Errorf("SANDBOX_ROBOTS: not a JSON object of robots") // the text holds secrets
	}
	if err := json.Unmarshal([]byte(or("SANDBOX_PROJECTS", defaultProjects)), &config.Projects); err != nil {
		return Config{}, fmt.Errorf("SANDBOX_PROJECTS: %w", err)
	}
	return config, nil
}

func seconds(name, text string) (time.Duration, error) {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || value < 0 {
		return 0, fmt.Errorf("%s is not a number of seconds: %q", name, text)
	}
	return time.Duration(value * float64(time.Second)), nil
}
