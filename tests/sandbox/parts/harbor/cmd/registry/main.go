// SPDX-License-Identifier: GPL-3.0-or-later

// Command registry is the CNCF distribution with the storage driver and the two kinds of access control that the
// sandbox uses: htpasswd, as the Harbor chart configures it, and token. The cloud drivers double its build time.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if registry.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
