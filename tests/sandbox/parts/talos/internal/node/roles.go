// SPDX-License-Identifier: GPL-3.0-or-later

package node

import "github.com/siderolabs/talos/pkg/machinery/role"

var (
	readers   = role.MakeSet(role.Admin, role.Operator, role.Reader)
	operators = role.MakeSet(role.Admin, role.Operator)
	admins    = role.MakeSet(role.Admin)
)

// rules give who may call which method; what is not listed is for admins.
var rules = map[string]role.Set{
	"/machine.ImageService/List":   readers,
	"/machine.ImageService/Pull":   operators,
	"/machine.ImageService/Remove": admins,

	// readers only in maintenance mode, which the method itself sees to
	"/machine.MachineService/ApplyConfiguration": role.MakeSet(role.Admin, role.Reader),
	"/machine.MachineService/Events":             readers,
	"/machine.MachineService/Hostname":           readers,
	"/machine.MachineService/ImageList":          readers,
	"/machine.MachineService/ImagePull":          operators,
	"/machine.MachineService/List":               readers,
	"/machine.MachineService/Read":               admins,
	"/machine.MachineService/Reboot":             operators,
	"/machine.MachineService/ServiceList":        readers,
	"/machine.MachineService/ServiceRestart":     operators,
	"/machine.MachineService/ServiceStart":       operators,
	"/machine.MachineService/ServiceStop":        operators,
	"/machine.MachineService/Version":            readers,

	// which kinds of resources a reader may see is the store's matter
	"/cosi.resource.State/Get":   readers,
	"/cosi.resource.State/List":  readers,
	"/cosi.resource.State/Watch": readers,
}
