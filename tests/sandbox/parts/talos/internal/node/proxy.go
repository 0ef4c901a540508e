// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/grpc/middleware/authz"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// router is apid: it sends a request to this node's machined or, as its metadata says, to the apid of other nodes.
type router struct {
	local    *localBackend
	identity *identity
	own      []string // names and addresses of this node

	mu    sync.Mutex
	peers map[string]*peerBackend
}

func newRouter(local *localBackend, identity *identity, own ...string) *router {
	return &router{local: local, identity: identity, own: own, peers: map[string]*peerBackend{}}
}

// Register implements factory.Registrator: the proxy answers for whatever is not registered.
func (r *router) Register(*grpc.Server) {}

// aggregated lists the services whose methods may go to many nodes in one request.
var aggregated = []string{
	"/machine.MachineService/", "/cluster.ClusterService/", "/inspect.InspectService/", "/storage.StorageService/", "/time.TimeService/",
}

// streamed says whether the answers of a method are a stream, which the proxy cannot know by itself.
func streamed(method string) bool {
	switch strings.TrimPrefix(method, "/machine.MachineService/") {
	case "Copy", "DiskUsage", "Dmesg", "EtcdSnapshot", "Events", "ImageList", "Kubeconfig", "List", "Logs", "PacketCapture", "Read":
		return true
	}

	return method == "/cluster.ClusterService/HealthCheck" || strings.HasSuffix(method, "Stream")
}

func (r *router) direct(ctx context.Context, method string) (proxy.Mode, []proxy.Backend, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	node, nodes := md["node"], md["nodes"]

	if len(node) > 1 {
		return proxy.One2One, nil, status.Error(codes.InvalidArgument, "node metadata must be single-valued")
	}

	if r.identity.client == nil { // a worker: it forwards nothing, but may be asked for itself by name
		if len(node) == 1 && slices.Contains(r.own, node[0]) {
			node = nil
		}

		if len(nodes) == 1 && slices.Contains(r.own, nodes[0]) {
			nodes = nil
		}
	}

	targets, mode := node, proxy.One2One
	if nodes != nil {
		if !slices.ContainsFunc(aggregated, func(service string) bool { return strings.HasPrefix(method, service) }) {
			return mode, nil, status.Errorf(codes.InvalidArgument, "one-2-many proxying is not supported for method %s", method)
		}

		targets, mode = nodes, proxy.One2Many
	}

	if md["proxyfrom"] != nil || targets == nil {
		return proxy.One2One, []proxy.Backend{r.local}, nil
	}

	backends, err := r.to(targets)

	return mode, backends, err
}

func (r *router) to(targets []string) ([]proxy.Backend, error) {
	if r.identity.client == nil {
		return nil, status.Error(codes.PermissionDenied, "no request forwarding")
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	backends := make([]proxy.Backend, 0, len(targets))

	for _, target := range targets {
		if _, _, err := net.SplitHostPort(target); target == "" || err == nil {
			return nil, status.Errorf(codes.Internal, "invalid target %q", target)
		}

		if r.peers[target] == nil {
			r.peers[target] = &peerBackend{target: target, identity: r.identity}
		}

		backends = append(backends, r.peers[target])
	}

	return backends, nil
}

func (r *router) close() {
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, peer := range r.peers {
		peer.close()
	}
}

// connection is dialled at its first use and kept.
type connection struct {
	mu   sync.Mutex
	conn *grpc.ClientConn
}

func (c *connection) get(target string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.conn != nil {
		return c.conn, nil
	}

	var err error

	c.conn, err = grpc.NewClient(target, append(options,
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize), grpc.ForceCodecV2(proxy.Codec())),
		grpc.WithNoProxy(),
	)...)

	return c.conn, err
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.conn != nil {
		c.conn.Close() //nolint:errcheck
	}
}

// localBackend leads to this node's machined, inside the process.
type localBackend struct {
	connection
	listener *bufconn.Listener
}

func newLocal(listener *bufconn.Listener) *localBackend { return &localBackend{listener: listener} }

func (l *localBackend) String() string { return "machined" }

func (l *localBackend) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	authz.SetMetadata(md, authz.GetRoles(ctx))

	conn, err := l.get("passthrough:machined",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.listener.DialContext(ctx) }),
	)

	return metadata.NewOutgoingContext(ctx, md), conn, err
}

// AppendInfo and BuildError are for answers of many nodes, which never come from here.
func (l *localBackend) AppendInfo(_ bool, answer []byte) ([]byte, error) { return answer, nil }
func (l *localBackend) BuildError(bool, error) ([]byte, error)           { return nil, nil }

// peerBackend leads to the apid of a node (also of this one, when it is asked for by address).
type peerBackend struct {
	connection
	target   string
	identity *identity
}

func (p *peerBackend) String() string { return p.target }

func (p *peerBackend) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	authz.SetMetadata(md, authz.GetRoles(ctx))

	from := md[":authority"]
	if len(from) == 0 {
		from = []string{"unknown"}
	}

	md.Set("proxyfrom", from...)
	delete(md, ":authority")
	delete(md, "nodes")
	delete(md, "node")

	retry := backoff.DefaultConfig
	retry.MaxDelay = 15 * time.Second

	conn, err := p.get(net.JoinHostPort(p.target, strconv.Itoa(constants.ApidPort)),
		grpc.WithTransportCredentials(credentials.NewTLS(p.identity.toPeers())),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: 20 * time.Second}),
	)

	return metadata.NewOutgoingContext(ctx, md), conn, err
}

// AppendInfo adds the node's name to its answer.
//
// Every answer of one node is a list `repeated Reply messages = 1` with one entry, and every Reply has
// `common.Metadata metadata = 1`. So the metadata, encoded as a message of its own, is put behind the fields of the
// entry, whose length is written anew; a streamed answer is the entry itself.
func (p *peerBackend) AppendInfo(stream bool, answer []byte) ([]byte, error) {
	info, err := proto.Marshal(&common.Empty{Metadata: &common.Metadata{Hostname: p.target}})
	if err != nil || stream {
		return append(answer, info...), err
	}

	number, kind, header := protowire.ConsumeTag(answer)
	if header < 0 || number != 1 || kind != protowire.BytesType {
		return nil, fmt.Errorf("unexpected message format: field %d of type %d", number, kind)
	}

	entry, length := protowire.ConsumeBytes(answer[header:])
	if length < 0 {
		return nil, protowire.ParseError(length)
	}

	both := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), slices.Concat(entry, info))

	return append(both, answer[header+length:]...), nil
}

// BuildError makes of a node's error an answer that carries it beside the answers of the others.
func (p *peerBackend) BuildError(stream bool, failure error) ([]byte, error) {
	entry := &common.Empty{Metadata: &common.Metadata{
		Hostname: p.target, Error: failure.Error(), Status: status.Convert(failure).Proto(),
	}}

	if stream {
		return proto.Marshal(entry)
	}

	return proto.Marshal(&common.EmptyResponse{Messages: []*common.Empty{entry}})
}
