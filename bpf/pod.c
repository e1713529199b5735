/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The two programs of a pod's veth, host side. pod_egress (tc ingress) sees what leaves the pod
 * and decides the pod's egress policy and, when the peer is local too, the peer's ingress policy.
 * pod_ingress (tc egress) sees what the node's stack sends into the pod: the node itself, the
 * proxy, and whatever came in by an interface without a program.
 */
#include "lib/network.h"
#include "lib/unreachable.h"

#define LINK_CONTROL_NONE 1

/*
 * Neighbour discovery and multicast reports end at the node and are exempt from policy, so they
 * must not be able to go further: link scope only. LINK_CONTROL_NONE: it is something else.
 */
static __always_inline int link_control_check(const struct packet *packet)
{
	const struct address *to = &packet->tuple.destination;
	bool link = address_is_link_local(to) || address_is_link_multicast(to);
	__u8 type = packet->icmp_type;

	if (packet->tuple.protocol != IPPROTO_ICMPV6)
		return LINK_CONTROL_NONE;
	if (type == ICMP6_ROUTER_ADVERTISEMENT || type == ICMP6_REDIRECT)
		return -DROP_FORBIDDEN_ICMP6;
	if (type >= ICMP6_ROUTER_SOLICITATION && type <= ICMP6_NEIGHBOUR_ADVERTISEMENT)
		return link && packet->hop_limit == ND_HOP_LIMIT ? 0 : -DROP_FORBIDDEN_ICMP6;
	if (type == ICMP6_MLD2_REPORT || (type >= ICMP6_MLD_QUERY && type <= ICMP6_MLD_DONE))
		return address_is_link_multicast(to) && packet->hop_limit == MLD_HOP_LIMIT
			   ? 0
			   : -DROP_FORBIDDEN_ICMP6;
	return LINK_CONTROL_NONE;
}

/* Headers and the sender's right to its address. LINK_CONTROL_NONE: goes on to policy. */
static __always_inline int from_pod_check(struct __sk_buff *skb, struct packet *packet,
					  const struct endpoint *endpoint)
{
	int error = packet_parse(skb, packet);

	if (!error && packet->ethertype == ETH_P_ARP)
		return TC_ACT_OK;
	if (!error && packet->ethertype != ETH_P_IP && packet->ethertype != ETH_P_IPV6)
		return -DROP_UNSUPPORTED_L3;
	if (!error && packet->ethertype == ETH_P_IPV6) {
		int exempt = link_control_check(packet);

		if (exempt != LINK_CONTROL_NONE)
			return exempt;
	}
	/* Not far enough to know whose it is. */
	if (error == -DROP_INVALID)
		return error;
	if (!endpoint_owns(endpoint, &packet->tuple.source))
		return -DROP_INVALID_SIP;
	return error ? error : LINK_CONTROL_NONE;
}

static __always_inline int from_pod_to_stack(struct __sk_buff *skb, struct flow *flow)
{
	flow_observe(flow, POLICY_EGRESS);
	event_trace(skb, flow,
		    flow->destination_identity == IDENTITY_HOST ? TRACE_TO_HOST : TRACE_TO_STACK);
	return TC_ACT_OK;
}

static __always_inline int from_pod(struct __sk_buff *skb, struct flow *flow)
{
	const struct endpoint *source, *destination;
	int result;

	skb->mark = 0;
	flow->direction = POLICY_EGRESS;
	source = endpoint_by_interface(skb->ifindex);
	if (!source)
		return -DROP_EP_NOT_READY;
	flow_set_source(flow, source);
	flow_observe(flow, POLICY_EGRESS);
	result = from_pod_check(skb, &flow->packet, source);
	if (result != LINK_CONTROL_NONE)
		return result;
	destination = endpoint_by_address(&flow->packet.tuple.destination);
	if (destination) {
		flow_set_destination(flow, destination);
		/* A pod may always speak to itself. */
		if (destination->id == flow->source_endpoint)
			return deliver_to_pod(skb, flow, destination);
	}
	result = connection_decide(skb, flow);
	if (result < 0)
		return result;
	if (result == CONNECTION_PROXY)
		return network_to_proxy(skb, flow);
	if (destination)
		return deliver_to_pod(skb, flow, destination);
	return from_pod_to_stack(skb, flow);
}

/*
 * By pod_ingress: what the node or another interface sends to the pod, for the proxy. Its source
 * was checked there.
 */
static __always_inline int turned_round(struct __sk_buff *skb, struct flow *flow)
{
	int result = packet_parse(skb, &flow->packet);
	const struct endpoint *endpoint = endpoint_by_address(&flow->packet.tuple.destination);

	if (!endpoint)
		return -DROP_INVALID;
	flow_set_destination(flow, endpoint);
	flow_observe(flow, POLICY_INGRESS);
	if (!result)
		result = connection_decide(skb, flow);
	return network_to_pod(skb, flow, endpoint, result);
}

/* The pod's own policy forbids the packet, and the pod is to be told. */
static __always_inline bool from_pod_is_told(const struct flow *flow, int result)
{
	return (flow->settings & CONFIG_FLAG_DENY_ICMP) && flow->direction == POLICY_EGRESS &&
	       (result == -DROP_POLICY || result == -DROP_POLICY_DENY);
}

SEC("tc")
int pod_egress(struct __sk_buff *skb)
{
	struct flow flow __attribute__((aligned(8))) = {};
	bool looped = (skb->mark & MARK_MAGIC_MASK) == MARK_MAGIC_TO_PROXY;
	int result, verdict;

	if (!program_begin(&flow, looped ? HOOK_FROM_NETWORK : HOOK_FROM_POD))
		return TC_ACT_SHOT;
	if (looped)
		result = turned_round(skb, &flow);
	else
		result = from_pod(skb, &flow);
	verdict = program_finish(skb, &flow, result, !looped);
	if (!looped && from_pod_is_told(&flow, result))
		return unreachable_answer(skb, &flow.packet);
	return verdict;
}

/*
 * The client that the proxy speaks for. A mark holds 24 bits of its identity, which leaves out the
 * bit of identities that only this node knows: its address has the whole of it.
 */
static __always_inline __u32 to_pod_client(const struct address *source, __u32 mark)
{
	const struct endpoint *local = endpoint_by_address(source);
	const struct config *current = config_get();
	__u32 marked = mark >> 16 | (mark & 0xff) << 16, known = 0;

	if (local)
		known = local->identity;
	else if (current)
		known = ipcache_identity(source, current);
	return !marked || (known & 0xffffff) == marked ? known : marked;
}

/*
 * Sent by one of the proxy's sockets: policy was applied to the client's packets. An entry that
 * the proxy's own choice of source port calls for is made here, so that answers find the proxy.
 */
__noinline int to_pod_from_proxy(struct __sk_buff *skb, struct flow *flow)
{
	__u32 mark = skb->mark, closing = TCP_FLAG_BYTE_FIN | TCP_FLAG_BYTE_RST;
	const struct packet *packet;
	struct ct_value *entry;
	int error;

	if (!flow)
		return -DROP_INVALID;
	packet = &flow->packet;
	flow->source_identity = to_pod_client(&packet->tuple.source, mark);
	if (packet->tuple.protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	flow->now = bpf_ktime_get_coarse_ns();
	flow->turned = tuple_canonical(&packet->tuple, &flow->key);
	entry = ct_lookup(&flow->key, flow->now);
	if (packet_is_opening(packet) && (!entry || ct_is_closed(entry))) {
		flow->trace_reason = REASON_NEW;
		error = connection_create(skb, flow, CT_FLAG_PROXIED);
		if (error)
			return error;
	} else if (entry && (entry->flags & CT_FLAG_PROXIED)) {
		flow->reply = ct_is_reply(entry, flow->turned);
		flow->trace_reason = flow->reply ? REASON_REPLY : REASON_ESTABLISHED;
		if (flow->reply)
			flow->source_identity = entry->destination_identity;
		flow->notable = ct_advance(entry, packet, flow->reply, flow->now);
	} else if (entry && !(packet->tcp_flags & TCP_FLAG_BYTE_RST)) {
		/* A connection that is not the proxy's has these very ports. */
		return -DROP_PROXY_LOOKUP_FAILED;
	}
	if (packet_is_opening(packet) || (packet->tcp_flags & closing))
		flow->notable = 1;
	event_trace(skb, flow, TRACE_TO_ENDPOINT);
	return TC_ACT_OK;
}

static __always_inline int to_pod(struct __sk_buff *skb, struct flow *flow)
{
	const struct endpoint *endpoint = endpoint_by_interface(skb->ifindex);
	const struct packet *packet = &flow->packet;
	int result;

	flow->direction = POLICY_INGRESS;
	if (!endpoint)
		return -DROP_EP_NOT_READY;
	flow_set_destination(flow, endpoint);
	flow_observe(flow, POLICY_INGRESS);
	/* Not received by any interface: the node made it. */
	flow->from_host = !skb->ingress_ifindex;
	result = packet_parse(skb, &flow->packet);
	if (result)
		return result;
	if (packet->ethertype == ETH_P_ARP)
		return TC_ACT_OK;
	if (packet->ethertype != ETH_P_IP && packet->ethertype != ETH_P_IPV6)
		return -DROP_UNSUPPORTED_L3;
	if (flow->from_host && link_control_check(packet) == 0)
		return TC_ACT_OK;
	if ((skb->mark & MARK_MAGIC_MASK) == MARK_MAGIC_PROXY)
		return to_pod_from_proxy(skb, flow);
	if (!flow->from_host && network_check_source(flow))
		return -DROP_INVALID_SIP;
	result = connection_decide(skb, flow);
	if (result < 0)
		return result;
	if (result != CONNECTION_FORWARD)
		return deliver_round(skb, endpoint);
	event_trace(skb, flow, TRACE_TO_ENDPOINT);
	return TC_ACT_OK;
}

SEC("tc")
int pod_ingress(struct __sk_buff *skb)
{
	struct flow flow __attribute__((aligned(8))) = {};

	if (!program_begin(&flow, HOOK_TO_POD))
		return TC_ACT_SHOT;
	return program_finish(skb, &flow, to_pod(skb, &flow), false);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
