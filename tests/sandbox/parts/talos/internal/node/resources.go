// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/registry"
	"github.com/siderolabs/talos/pkg/grpc/middleware/authz"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/resources/cluster"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/cri"
	"github.com/siderolabs/talos/pkg/machinery/resources/files"
	"github.com/siderolabs/talos/pkg/machinery/resources/k8s"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/resources/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// newResources makes the store behind `talosctl get`, with the kinds that this node has anything to say about.
func newResources() (state.State, error) {
	ctx := context.Background()
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	namespaces, resources := registry.NewNamespaceRegistry(st), registry.NewResourceRegistry(st)

	if err := namespaces.RegisterDefault(ctx); err != nil {
		return nil, err
	}

	if err := resources.RegisterDefault(ctx); err != nil {
		return nil, err
	}

	for name, description := range map[string]string{
		v1alpha1.NamespaceName:  "Talos v1alpha1 subsystems glue resources.",
		cluster.NamespaceName:   "Cluster configuration and discovery resources.",
		configres.NamespaceName: "Talos node configuration.",
		files.NamespaceName:     "Files and file-like resources.",
		k8s.NamespaceName:       "Kubernetes all node types resources.",
		network.NamespaceName:   "Networking resources.",
		cri.NamespaceName:       "CRI Seccomp resources.",
	} {
		if err := namespaces.Register(ctx, name, description); err != nil && !state.IsConflictError(err) {
			return nil, err
		}
	}

	for _, kind := range []meta.ResourceWithRD{
		&cluster.Member{}, &configres.MachineConfig{}, &configres.MachineType{}, &cri.RegistriesConfig{}, &cri.ImageCacheConfig{},
		&files.EtcFileSpec{}, &files.EtcFileStatus{}, &k8s.Nodename{}, &network.HostDNSConfig{}, &network.HostnameStatus{},
		&network.NodeAddress{}, &network.ResolverStatus{},
		&runtime.MachineStatus{}, &runtime.Version{}, &v1alpha1.Service{},
	} {
		if err := resources.Register(ctx, kind); err != nil {
			return nil, err
		}
	}

	return st, nil
}

// member is an entry of the file that says which nodes the cluster has.
type member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Type    string `json:"type"` // controlplane or worker
}

func (b *boot) members(cfg config.Provider) ([]member, error) {
	if b.Members == "" {
		return []member{{b.hostname(cfg), b.Address, cfg.Machine().Type().String()}}, nil
	}

	text, err := os.ReadFile(b.Members)
	if err != nil {
		return nil, err
	}

	var list []member

	return list, json.Unmarshal(text, &list)
}

// describe fills in what the node knows of itself and its cluster.
func (b *boot) describe(cfg config.Provider) error {
	ctx := context.Background()

	address, err := netip.ParseAddr(b.Address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}

	list, err := b.members(cfg)
	if err != nil {
		return fmt.Errorf("members: %w", err)
	}

	for _, one := range list {
		if err := b.addMember(ctx, one); err != nil {
			return err
		}
	}

	for _, id := range []string{network.NodeAddressCurrentID, network.NodeAddressRoutedID, network.NodeAddressDefaultID} {
		err := modify(ctx, b.resources, network.NewNodeAddress(network.NamespaceName, id), func(r *network.NodeAddress) {
			r.TypedSpec().Addresses = []netip.Prefix{netip.PrefixFrom(address, 24)}
		})
		if err != nil {
			return err
		}
	}

	name := b.hostname(cfg)

	if err := modify(ctx, b.resources, network.NewHostnameStatus(network.NamespaceName, network.HostnameID), func(r *network.HostnameStatus) {
		r.TypedSpec().Hostname, r.TypedSpec().Domainname, _ = strings.Cut(name, ".")
	}); err != nil {
		return err
	}

	if err := modify(ctx, b.resources, k8s.NewNodename(k8s.NamespaceName, k8s.NodenameID), func(r *k8s.Nodename) {
		r.TypedSpec().Nodename = name
	}); err != nil {
		return err
	}

	if err := b.describeResolvers(ctx); err != nil {
		return err
	}

	return b.describeMachine(ctx, cfg)
}

// describeResolvers names the DNS server that a real node would have of DHCP.
func (b *boot) describeResolvers(ctx context.Context) error {
	server, err := netip.ParseAddrPort(b.Resolver)
	if err != nil { // a node of a fleet has none
		return nil
	}

	return modify(ctx, b.resources, network.NewResolverStatus(network.NamespaceName, network.ResolverID), func(r *network.ResolverStatus) {
		r.TypedSpec().DNSServers = []netip.Addr{server.Addr()}
	})
}

// describeHostDNS says what the configuration asks of host DNS; there is no such server.
func (b *boot) describeHostDNS(cfg config.Provider) error {
	asked := cfg.Machine().Features().HostDNS()

	return modify(context.Background(), b.resources, network.NewHostDNSConfig(network.HostDNSConfigID), func(r *network.HostDNSConfig) {
		r.TypedSpec().Enabled = asked.Enabled()
		r.TypedSpec().ResolveMemberNames = asked.ResolveMemberNames()
		r.TypedSpec().ServiceHostDNSAddress = netip.Addr{}

		if asked.Enabled() && asked.ForwardKubeDNSToHost() {
			r.TypedSpec().ServiceHostDNSAddress = netip.MustParseAddr(constants.HostDNSAddress)
		}
	})
}

func (b *boot) describeMachine(ctx context.Context, cfg config.Provider) error {
	kind := configres.NewMachineType()
	kind.SetMachineType(cfg.Machine().Type())

	if err := b.resources.Create(ctx, kind); err != nil {
		return err
	}

	if err := modify(ctx, b.resources, runtime.NewVersion(), func(r *runtime.Version) { r.TypedSpec().Version = b.TalosVersion }); err != nil {
		return err
	}

	if err := modify(ctx, b.resources, runtime.NewMachineStatus(), func(r *runtime.MachineStatus) {
		r.TypedSpec().Stage = runtime.MachineStageRunning
		r.TypedSpec().Status.Ready = true
	}); err != nil {
		return err
	}

	for _, service := range b.services() {
		if err := modify(ctx, b.resources, v1alpha1.NewService(service.Id), func(r *v1alpha1.Service) {
			*r.TypedSpec() = v1alpha1.ServiceSpec{Running: true, Healthy: true}
		}); err != nil {
			return err
		}
	}

	return nil
}

func (b *boot) addMember(ctx context.Context, one member) error {
	address, err := netip.ParseAddr(one.Address)
	if err != nil {
		return fmt.Errorf("member %s: %w", one.Name, err)
	}

	kind, err := machine.ParseType(one.Type)
	if err != nil {
		return fmt.Errorf("member %s: %w", one.Name, err)
	}

	return modify(ctx, b.resources, cluster.NewMember(cluster.NamespaceName, one.Name), func(r *cluster.Member) {
		*r.TypedSpec() = cluster.MemberSpec{
			NodeID: one.Name, Addresses: []netip.Addr{address}, Hostname: one.Name, MachineType: kind,
			OperatingSystem: fmt.Sprintf("Talos (%s)", b.TalosVersion),
		}
	})
}

// access is Talos's rule for resources over the API: read only, registered kinds only, sensitive ones for admins only.
func access(st state.State) state.FilteringRule {
	return func(ctx context.Context, access state.Access) error {
		if !access.Verb.Readonly() {
			return status.Error(codes.PermissionDenied, "write access is not allowed")
		}

		kind, err := safe.StateGetByID[*meta.ResourceDefinition](ctx, st, strings.ToLower(access.ResourceType))
		if state.IsNotFoundError(err) {
			return status.Errorf(codes.PermissionDenied, "resource type %q is not supported", access.ResourceType)
		}

		if err != nil {
			return err
		}

		if kind.TypedSpec().Sensitivity == meta.Sensitive && !authz.GetRoles(ctx).Includes(role.Admin) {
			return authz.ErrNotAuthorized
		}

		_, err = st.Get(ctx, resource.NewMetadata(meta.NamespaceName, meta.NamespaceType, access.ResourceNamespace, resource.VersionUndefined))
		if state.IsNotFoundError(err) {
			return status.Errorf(codes.PermissionDenied, "namespace %q is not supported", access.ResourceNamespace)
		}

		return err
	}
}
