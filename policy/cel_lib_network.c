/*
 * The network extension: net.IP and net.CIDR. Addresses are RFC 4291 and RFC 5952 text without a zone; one that is an
 * IPv4 address in IPv6's clothes must not be written with dots, and equals the IPv4 address.
 * Source: cel-spec tests/simple/testdata/network_ext.textproto; Kubernetes' CEL ip and cidr libraries.
 */

#include <stdio.h>
#include "policy/cel_lib.h"
#include "policy/scan.h"

/* ---- Text ---- */

/* A decimal number of at most `max`, without leading zeros. */
static bool scan_decimal(struct scan *in, unsigned max, unsigned *out) {
	const char *from = in->p;

	for (*out = 0; scan_is_digit(in) && *out <= max; in->p++)
		*out = *out * 10 + (unsigned)(*in->p - '0');
	return in->p > from && *out <= max && (*from != '0' || in->p == from + 1);
}

static bool scan_ipv4(struct scan *in, uint8_t addr[4]) {
	unsigned part;

	for (int i = 0; i < 4; i++) {
		if (i && !scan_char(in, '.'))
			return false;
		if (!scan_decimal(in, 255, &part))
			return false;
		addr[i] = (uint8_t)part;
	}
	return in->p == in->end;
}

static int hex_digit(char c) {
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One to four hexadecimal digits. */
static bool scan_group(struct scan *in, unsigned *out) {
	int n = 0;

	for (*out = 0; n < 4 && in->p < in->end && hex_digit(*in->p) >= 0; n++)
		*out = *out << 4 | (unsigned)hex_digit(*in->p++);
	return n > 0;
}

static bool scan_gap(struct scan *in) {
	if (in->end - in->p < 2 || in->p[0] != ':' || in->p[1] != ':')
		return false;
	in->p += 2;
	return true;
}

/* Groups of 16 bits with at most one "::", the last two perhaps as dotted IPv4. */
static bool scan_ipv6(struct scan *in, uint8_t addr[16], bool *dotted) {
	int n = 0, gap = -1; /* bytes so far; where the gap is */
	unsigned group;

	memset(addr, 0, 16);
	*dotted = false;
	if (scan_gap(in))
		gap = 0;
	while (in->p < in->end && n < 16) {
		struct scan tail = *in;

		if (n <= 12 && memchr(in->p, '.', (size_t)(in->end - in->p)) && scan_ipv4(&tail, addr + n)) {
			*in = tail;
			*dotted = true;
			n += 4;
			break;
		}
		if (!scan_group(in, &group))
			return false;
		addr[n++] = (uint8_t)(group >> 8);
		addr[n++] = (uint8_t)group;
		if (in->p == in->end)
			break;
		if (scan_gap(in)) {
			if (gap >= 0)
				return false;
			gap = n;
		} else if (*in->p++ != ':' || in->p == in->end) {
			return false;
		}
	}
	if (in->p != in->end || (gap < 0) != (n == 16))
		return false;
	if (gap >= 0) {
		memmove(addr + 16 - (n - gap), addr + gap, (size_t)(n - gap));
		memset(addr + gap, 0, (size_t)(16 - n));
	}
	return true;
}

static bool is_mapped(const uint8_t addr[16]) {
	static const uint8_t prefix[12] = { [10] = 0xFF, [11] = 0xFF };

	return memcmp(addr, prefix, 12) == 0;
}

bool cel_net_parse_ip(struct str text, struct cel_net *out, const char **why) {
	struct scan in = { text.p, text.p + text.n };
	struct cel_net net = { .family = memchr(text.p, ':', text.n) ? 6 : 4 };
	bool dotted = false;

	*why = "no IP address";
	if (memchr(text.p, '%', text.n)) {
		*why = "an IP address with a zone";
		return false;
	}
	if (net.family == 4 ? !scan_ipv4(&in, net.addr) : !scan_ipv6(&in, net.addr, &dotted))
		return false;
	if (dotted && is_mapped(net.addr)) {
		*why = "an IPv4-mapped IPv6 address";
		return false;
	}
	*out = net;
	return true;
}

bool cel_net_parse_cidr(struct str text, struct cel_net *out, const char **why) {
	const char *slash = memchr(text.p, '/', text.n);
	struct scan in = { slash ? slash + 1 : NULL, text.p + text.n };
	struct cel_net net;
	unsigned prefix;

	*why = "no CIDR like 10.0.0.0/8";
	if (!slash || !cel_net_parse_ip((struct str){ text.p, (size_t)(slash - text.p) }, &net, why) ||
	    !scan_decimal(&in, net.family == 4 ? 32 : 128, &prefix) || in.p != in.end)
		return false;
	net.prefix = (uint8_t)prefix;
	*out = net;
	return true;
}

/* RFC 5952: lower case, the longest run of two or more zero groups (the first of equals) as "::". */
static size_t format_ipv6(const uint8_t addr[16], char out[64]) {
	int best = 8, best_n = 1, run = 0;
	size_t n = 0;

	for (int i = 0; i < 8; i++) {
		run = addr[2 * i] || addr[2 * i + 1] ? 0 : run + 1;
		if (run > best_n) {
			best_n = run;
			best = i + 1 - run;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			n += (size_t)sprintf(out + n, "::");
			i += best_n - 1;
			continue;
		}
		n += (size_t)sprintf(out + n, "%s%x", i && i != best + best_n ? ":" : "",
				     (unsigned)addr[2 * i] << 8 | addr[2 * i + 1]);
	}
	out[n] = '\0';
	return n;
}

size_t cel_net_format(const struct cel_net *net, bool cidr, char out[64]) {
	size_t n = net->family == 6 ? format_ipv6(net->addr, out)
				    : (size_t)sprintf(out, "%u.%u.%u.%u", net->addr[0], net->addr[1], net->addr[2], net->addr[3]);

	return cidr ? n + (size_t)sprintf(out + n, "/%u", net->prefix) : n;
}

/* ---- Addresses ---- */

struct cel_value cel_make_net(struct cel_run *run, enum cel_kind kind, const struct cel_net *net) {
	struct cel_net *copy = cel_run_alloc(run, sizeof(*copy));

	if (!copy)
		return cel_fail_memory();
	*copy = *net;
	return (struct cel_value){ .kind = (uint8_t)kind, .net = copy };
}

/* An IPv4 address in IPv6's clothes as what it is. */
struct cel_net cel_net_unmapped(const struct cel_net *net) {
	struct cel_net plain = *net;

	if (net->family == 4 || !is_mapped(net->addr))
		return plain;
	plain = (struct cel_net){ .family = 4 };
	memcpy(plain.addr, net->addr + 12, 4);
	return plain;
}

static struct cel_value not_parsed(const struct cel_node *node, struct cel_run *run, struct cel_value v, const char *why) {
	return cel_failf(run, node, "'%.*s' is %s", (int)(v.n > 80 ? 80 : v.n), v.s, why);
}

FN(ip_of) {
	struct cel_net net;
	const char *why;

	if (a[0].kind == CEL_IP)
		return a[0];
	return cel_net_parse_ip(cel_str(a[0]), &net, &why) ? cel_make_net(run, CEL_IP, &net) : not_parsed(node, run, a[0], why);
}

FN(is_ip) {
	struct cel_net net;
	const char *why;

	UNUSED;
	return cel_of_bool(cel_net_parse_ip(cel_str(a[0]), &net, &why));
}

FN(is_canonical) {
	struct cel_net net;
	const char *why;
	char text[64];
	size_t n;

	if (!cel_net_parse_ip(cel_str(a[0]), &net, &why))
		return not_parsed(node, run, a[0], why);
	n = cel_net_format(&net, false, text);
	return cel_of_bool(n == a[0].n && memcmp(text, a[0].s, n) == 0);
}

FN(family) {
	UNUSED;
	return cel_of_int(a[0].net->family);
}

static bool all_zero(const struct cel_net *net) {
	static const uint8_t zeros[16];

	return memcmp(net->addr, zeros, net->family == 4 ? 4 : 16) == 0;
}

static bool is_loopback(const struct cel_net *net) {
	static const uint8_t one[16] = { [15] = 1 };

	return net->family == 4 ? net->addr[0] == 127 : memcmp(net->addr, one, 16) == 0;
}

static bool is_multicast(const struct cel_net *net) {
	return net->family == 4 ? net->addr[0] >> 4 == 0xE : net->addr[0] == 0xFF;
}

static bool is_link_local(const struct cel_net *net) {
	return net->family == 4 ? net->addr[0] == 169 && net->addr[1] == 254 : net->addr[0] == 0xFE && net->addr[1] >> 6 == 2;
}

static bool is_link_local_multicast(const struct cel_net *net) {
	return net->family == 4 ? net->addr[0] == 224 && !net->addr[1] && !net->addr[2]
				: net->addr[0] == 0xFF && (net->addr[1] & 0x0F) == 2;
}

static bool is_global_unicast(const struct cel_net *net) {
	bool broadcast = net->family == 4 && (net->addr[0] & net->addr[1] & net->addr[2] & net->addr[3]) == 255;

	return !broadcast && !all_zero(net) && !is_loopback(net) && !is_multicast(net) && !is_link_local(net);
}

#define ABOUT(name, question)                                                                                          \
	FN(name) {                                                                                                     \
		struct cel_net net = cel_net_unmapped(a[0].net);                                                       \
                                                                                                                       \
		UNUSED;                                                                                                \
		return cel_of_bool(question(&net));                                                                    \
	}
ABOUT(about_unspecified, all_zero)
ABOUT(about_loopback, is_loopback)
ABOUT(about_global, is_global_unicast)
ABOUT(about_multicast, is_link_local_multicast)
ABOUT(about_link_local, is_link_local)

/* ---- Networks ---- */

FN(cidr_of) {
	struct cel_net net;
	const char *why;

	if (a[0].kind == CEL_CIDR)
		return a[0];
	return cel_net_parse_cidr(cel_str(a[0]), &net, &why) ? cel_make_net(run, CEL_CIDR, &net) : not_parsed(node, run, a[0], why);
}

FN(is_cidr) {
	struct cel_net net;
	const char *why;

	UNUSED;
	return cel_of_bool(cel_net_parse_cidr(cel_str(a[0]), &net, &why));
}

static struct cel_net masked(struct cel_net net) {
	for (unsigned i = 0; i < 16; i++)
		if (8 * i >= net.prefix)
			net.addr[i] = 0;
		else if (8 * i + 8 > net.prefix)
			net.addr[i] &= (uint8_t)(0xFF00 >> (net.prefix - 8 * i));
	return net;
}

static bool covers(const struct cel_net *network, struct cel_net net) {
	struct cel_net a = masked(*network);

	net.prefix = network->prefix;
	net = masked(net);
	return a.family == net.family && memcmp(a.addr, net.addr, a.family == 4 ? 4 : 16) == 0;
}

FN(contains_ip) {
	struct cel_net net;
	const char *why;

	if (a[1].kind == CEL_IP)
		net = *a[1].net;
	else if (!cel_net_parse_ip(cel_str(a[1]), &net, &why))
		return not_parsed(node, run, a[1], why);
	return cel_of_bool(covers(a[0].net, a[0].net->family == 4 ? cel_net_unmapped(&net) : net));
}

FN(contains_cidr) {
	struct cel_net net;
	const char *why;

	if (a[1].kind == CEL_CIDR)
		net = *a[1].net;
	else if (!cel_net_parse_cidr(cel_str(a[1]), &net, &why))
		return not_parsed(node, run, a[1], why);
	return cel_of_bool(net.prefix >= a[0].net->prefix && covers(a[0].net, net));
}

FN(ip_of_cidr) {
	struct cel_net net = *a[0].net;

	(void)node;
	net.prefix = 0;
	return cel_make_net(run, CEL_IP, &net);
}

FN(masked_cidr) {
	struct cel_net net = masked(*a[0].net);

	(void)node;
	return cel_make_net(run, CEL_CIDR, &net);
}

FN(prefix_length) {
	UNUSED;
	return cel_of_int(a[0].net->prefix);
}

FN(string_of) {
	char text[CEL_SCALAR_TEXT];

	(void)node;
	return cel_copy_string(run, CEL_STRING, text, cel_scalar_text(a[0], text));
}

static const struct cel_def network[] = {
	{ "ip", "s:I", ip_of, 0 },
	{ "ip", "I:I", ip_of, 0 },
	{ "isIP", "s:b", is_ip, 0 },
	{ "ip.isCanonical", "s:b", is_canonical, 0 },
	{ "family", "I.:i", family, 0 },
	{ "isUnspecified", "I.:b", about_unspecified, 0 },
	{ "isLoopback", "I.:b", about_loopback, 0 },
	{ "isGlobalUnicast", "I.:b", about_global, 0 },
	{ "isLinkLocalMulticast", "I.:b", about_multicast, 0 },
	{ "isLinkLocalUnicast", "I.:b", about_link_local, 0 },
	{ "cidr", "s:C", cidr_of, 0 },
	{ "cidr", "C:C", cidr_of, 0 },
	{ "isCIDR", "s:b", is_cidr, 0 },
	{ "containsIP", "C.I:b", contains_ip, 0 },
	{ "containsIP", "C.s:b", contains_ip, 0 },
	{ "containsCIDR", "C.C:b", contains_cidr, 0 },
	{ "containsCIDR", "C.s:b", contains_cidr, 0 },
	{ "ip", "C.:I", ip_of_cidr, 0 },
	{ "masked", "C.:C", masked_cidr, 0 },
	{ "prefixLength", "C.:i", prefix_length, 0 },
	{ "string", "I:s", string_of, CEL_FN_STRING },
	{ "string", "C:s", string_of, CEL_FN_STRING },
};

LIBRARY(cel_network_defs, CEL_LIB_NETWORK, network);
