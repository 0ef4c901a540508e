// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"fmt"
	"net/url"
	"strings"
)

// realm is the address of the token service that a client who sent this Host is given. A Host that is CORE_URL's
// gets CORE_URL's, as it is written there, port included. Any other gets the scheme of EXT_ENDPOINT with its own
// Host since Harbor 2.14, and the whole of EXT_ENDPOINT before. TOKEN_SERVICE_URL and X-Forwarded-* have no part.
func realm(host, coreURL, extEndpoint string, before214 bool) string {
	endpoint := extEndpoint
	if matches(host, coreURL) {
		endpoint = coreURL
	} else if host != "" && !before214 {
		scheme, _, found := strings.Cut(extEndpoint, "://")
		endpoint = host
		if found {
			endpoint = scheme + "://" + host
		}
	}
	return strings.TrimSuffix(endpoint, "/") + "/service/token"
}

// matches compares letter by letter but for the scheme's own port, on either side.
func matches(host, rawURL string) bool {
	configured, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	port := map[string]string{"http": "80", "https": "443"}[configured.Scheme]
	if port == "" {
		return host == configured.Host
	}
	wanted := configured.Host
	if configured.Port() == port {
		wanted = configured.Hostname()
	}
	return strings.TrimSuffix(host, ":"+port) == wanted
}

// before214 tells whether a version such as v2.13.2 has the older rule.
func before214(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 2 || (major == 2 && minor < 14)
}
