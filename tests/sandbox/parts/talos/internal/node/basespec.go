// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/platforms"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"

	"splithorizon.example/sandbox/talos/internal/pull"
)

// writeBaseSpec writes containerd's default container, without resource limits, as Talos does.
func (b *boot) writeBaseSpec(config.Provider) error {
	ctx := namespaces.WithNamespace(context.Background(), pull.NamespaceCRI)

	spec, err := oci.GenerateSpecWithPlatform(ctx, nil, platforms.DefaultString(), &containers.Container{})
	if err != nil {
		return err
	}

	spec.Process.Rlimits = nil

	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}

	return b.etcFile(constants.CRIBaseRuntimeSpec, text, 0o600)
}
