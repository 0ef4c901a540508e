// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// services tells of Talos's services as they are on a healthy node: all running since the boot. The kubelet, etcd and
// containerd themselves are processes of the sandbox's, not of this one.
func (b *boot) services() []*machine.ServiceInfo {
	ids := []string{"apid", "containerd", "cri", "kubelet", "machined"}
	if b.active().Machine().Type().IsControlPlane() {
		ids = []string{"apid", "containerd", "cri", "etcd", "kubelet", "machined", "trustd"}
	}

	list := make([]*machine.ServiceInfo, 0, len(ids))

	for _, id := range ids {
		health := &machine.ServiceHealth{Healthy: true, LastChange: timestamppb.New(b.serviceStarted(id))}
		list = append(list, &machine.ServiceInfo{Id: id, State: "Running", Events: b.serviceEvents(id), Health: health})
	}

	return list
}

// serviceStarted gives the boot's time; containerd may have been restarted since.
func (b *boot) serviceStarted(id string) time.Time {
	if at := b.criStarted.Load(); id == "cri" && at != nil {
		return *at
	}

	return b.started
}

func (b *boot) serviceEvents(id string) *machine.ServiceEvents {
	started := "Service started"
	waiting := "Waiting for service to be ready"

	if id == "cri" {
		waiting = "Waiting for volumes /var/lib, /var/lib/cni, /var/lib/containerd, /var/run, /var/run/lock to be mounted, network"
		started = `Process Process(["/bin/containerd" "--address" "/run/containerd/containerd.sock" "--config" "/etc/cri/containerd.toml"]) started with PID 23`
	}

	events := &machine.ServiceEvents{}

	for i, event := range [][2]string{
		{"Starting", "Starting service"}, {"Waiting", waiting}, {"Preparing", "Running pre state"},
		{"Preparing", "Creating service runner"}, {"Running", started}, {"Running", "Health check successful"},
	} {
		events.Events = append(events.Events, &machine.ServiceEvent{
			State: event[0], Msg: event[1], Ts: timestamppb.New(b.serviceStarted(id).Add(time.Duration(i) * time.Millisecond)),
		})
	}

	return events
}
