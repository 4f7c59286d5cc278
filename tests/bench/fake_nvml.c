/* A stand-in libnvidia-ml.so.1 that answers from a text file (FAKE_NVML_CONF).
 *
 * Lines are key=value; the last line of a key wins, so that a test can append overrides.
 *   driver, nvml, cuda (12040), count, topology      the whole box; topology.<i>.<j> for one pair
 *   <index>.<key>, *.<key>                           one GPU, every GPU; the keys stand beside the functions below
 *   err.<function>=<code>, err.*=<code>              that NVML return code from every call
 *   <index>.err.<function>=<code>, <index>.err.*     from calls about that GPU
 *   sleep.<function>=<seconds>                       hangs there (<index>.sleep.<function> for one GPU)
 *   crash.<function>=1                               aborts there
 *   missing.<function>=1                             answers "function not found", as an old driver's library does
 *   garbage.<function>=<seed>                        answers success with rubbish: text without an end that is no
 *                                                    UTF-8, huge counts, random bytes in structures and numbers
 * A key that is not there is answered "not supported". The file is read at nvmlInit; with FAKE_NVML_RELOAD=1 at every
 * call (a GPU lost in mid-run).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int R;
typedef unsigned int U;
typedef unsigned long long ULL;
typedef void *D;

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_FUNCTION = 13, CORRUPTED = 14, BAD_VERSION = 25 };
enum { LINE = 4096, KEY = 96, BUCKETS = 4096 };

typedef struct Entry { struct Entry *next; char *value; char key[]; } Entry;
static Entry *table[BUCKETS];
static int inited, has_faults;

static U hash(const char *key) {
  U h = 2166136261u;
  for (; *key; key++) h = (h ^ (unsigned char)*key) * 16777619u;
  return h % BUCKETS;
}

static void forget(void) {
  for (int i = 0; i < BUCKETS; i++) {
    for (Entry *one = table[i], *next; one; one = next) { next = one->next; free(one->value); free(one); }
    table[i] = NULL;
  }
}

static void load(void) {
  char line[LINE];
  const char *path = getenv("FAKE_NVML_CONF");
  FILE *file = path ? fopen(path, "r") : NULL;
  forget();
  has_faults = 0;
  while (file && fgets(line, sizeof line, file)) {
    char *equals = strchr(line, '=');
    if (line[0] == '#' || !equals) continue;
    *equals = 0;
    equals[1 + strcspn(equals + 1, "\r\n")] = 0;
    Entry *one = malloc(sizeof *one + strlen(line) + 1);
    U bucket = hash(line);
    strcpy(one->key, line);
    one->value = strdup(equals + 1);
    one->next = table[bucket];
    table[bucket] = one; /* in front, so that the last line is found first */
    if (!strncmp(line, "err.", 4) || strstr(line, ".err.") || strstr(line, "sleep.") || strstr(line, "crash.") ||
        strstr(line, "missing.") || strstr(line, "garbage.")) has_faults = 1;
  }
  if (file) fclose(file);
}

static const char *get(const char *key) {
  for (Entry *one = table[hash(key)]; one; one = one->next) if (!strcmp(one->key, key)) return one->value;
  return NULL;
}

static const char *get_of(D device, const char *key) {
  char full[KEY];
  snprintf(full, KEY, "%ld.%s", (long)device - 1, key);
  const char *value = get(full);
  if (value) return value;
  snprintf(full, KEY, "*.%s", key);
  return get(full);
}

static const char *scripted(D device, const char *what, const char *function) {
  char key[KEY];
  if (!has_faults) return NULL;
  snprintf(key, KEY, "%s.%s", what, function);
  const char *value = get(key);
  return value || !device ? value : get_of(device, key);
}

static R trouble(D device, const char *function) {
  if (getenv("FAKE_NVML_RELOAD")) load();
  if (!has_faults) return OK;
  const char *value = scripted(device, "sleep", function);
  if (value) sleep((unsigned)atoi(value));
  if (scripted(device, "crash", function)) abort();
  if (scripted(device, "missing", function)) return NO_FUNCTION;
  value = scripted(device, "err", function);
  if (!value) value = get("err.*");
  if (!value && device) value = get_of(device, "err.*");
  return value ? atoi(value) : OK;
}

/* --- rubbish */

static U seed;

static int is_garbled(D device, const char *function) {
  const char *value = scripted(device, "garbage", function);
  if (value) seed = (U)atoi(value) * 2654435761u + 1;
  return value != NULL;
}

static R rubbish(void *out, size_t size) {
  for (unsigned char *byte = out; size--; byte++) {
    seed = seed * 1664525u + 1013904223u;
    *byte = (unsigned char)(seed >> 24);
  }
  return OK;
}

static R endless(char *out, U length) { /* no end, and bytes that are no text */
  rubbish(out, length);
  for (U i = 0; i < length; i++) if (!out[i]) out[i] = (char)0xff;
  return OK;
}

#define SYSTEM R r = trouble(NULL, __func__); if (r) return r; if (!inited) return UNINITIALIZED; D d = NULL; (void)d;
#define DEVICE if (!inited) return UNINITIALIZED; if (!d) return INVALID; R r = trouble(d, __func__); if (r) return r;
#define FILLS(out) if (is_garbled(d, __func__)) return rubbish(out, sizeof *(out));
#define TELLS(out, length) if (is_garbled(d, __func__)) return endless(out, length);

static R text(const char *value, char *out, U length) {
  if (!value) return NOT_SUPPORTED;
  if (strlen(value) + 1 > length) return TOO_SMALL;
  strcpy(out, value);
  return OK;
}

static R number(D d, const char *key, U *out) {
  const char *value = get_of(d, key);
  if (!value) return NOT_SUPPORTED;
  *out = (U)strtoul(value, NULL, 0);
  return OK;
}

static R numbered(D d, const char *key, int which, U *out) { char k[KEY]; snprintf(k, KEY, "%s.%d", key, which); return number(d, k, out); }

static ULL big(D d, const char *key) { const char *value = get_of(d, key); return value ? strtoull(value, NULL, 0) : 0; }

static R wide(D d, const char *key, ULL *out) {
  if (!get_of(d, key)) return NOT_SUPPORTED;
  *out = big(d, key);
  return OK;
}

/* the numbers of a comma-separated value, 0 for those that it leaves out */
static R split(const char *value, ULL *out, int count) {
  memset(out, 0, (size_t)count * sizeof *out);
  if (!value) return NOT_SUPPORTED;
  for (int i = 0; i < count && value; i++) {
    out[i] = strtoull(value, NULL, 0);
    value = strchr(value, ',');
    if (value) value++;
  }
  return OK;
}

#define NUMBER(name, key) R name(D d, U *o) { DEVICE FILLS(o) return number(d, key, o); }
#define COUNT(name, key) R name(D d, ULL *o) { DEVICE FILLS(o) return wide(d, key, o); }
#define TEXT(name, key) R name(D d, char *o, U l) { DEVICE TELLS(o, l) return text(get_of(d, key), o, l); }
#define NUMBERED(name, key) R name(D d, int which, U *o) { DEVICE FILLS(o) return numbered(d, key, which, o); }

/* --- the library */

static R start(const char *function) {
  load();
  R r = trouble(NULL, function);
  if (!r) r = trouble(NULL, "nvmlInit"); /* one key for all three entry points */
  if (!r) inited = 1;
  return r;
}
R nvmlInitWithFlags(U flags) { (void)flags; return start(__func__); }
R nvmlInit_v2(void) { return start(__func__); }
R nvmlInit(void) { return start(__func__); }
R nvmlShutdown(void) { inited = 0; return OK; }

const char *nvmlErrorString(R r) {
  switch (r) {
    case 0: return "Success";
    case 1: return "Uninitialized";
    case 2: return "Invalid Argument";
    case 3: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case 6: return "Not Found";
    case 7: return "Insufficient Size";
    case 8: return "Insufficient External Power";
    case 9: return "Driver Not Loaded";
    case 10: return "Timeout";
    case 12: return "NVML Shared Library Not Found";
    case 13: return "Function Not Found";
    case 14: return "infoROM is corrupted";
    case 15: return "GPU is lost";
    case 16: return "GPU requires reset";
    case 17: return "The operating system has blocked the request";
    case 18: return "Driver/library version mismatch";
    case 19: return "In use by another client";
    case 20: return "Insufficient Memory";
    case 25: return "Argument version mismatch";
    default: return "Unknown Error";
  }
}

/* --- the system */

R nvmlSystemGetDriverVersion(char *o, U l) { SYSTEM TELLS(o, l) return text(get("driver"), o, l); }
R nvmlSystemGetNVMLVersion(char *o, U l) { SYSTEM TELLS(o, l) const char *v = get("nvml"); return text(v ? v : get("driver"), o, l); }
R nvmlSystemGetCudaDriverVersion_v2(int *o) {
  SYSTEM
  FILLS(o)
  const char *v = get("cuda");
  if (!v) return NO_FUNCTION;
  *o = atoi(v);
  return OK;
}
R nvmlSystemGetCudaDriverVersion(int *o) { return nvmlSystemGetCudaDriverVersion_v2(o); }

static U count(void) { const char *v = get("count"); return v ? (U)atoi(v) : 0; }

R nvmlDeviceGetCount_v2(U *o) { SYSTEM FILLS(o) *o = count(); return OK; }
R nvmlDeviceGetCount(U *o) { return nvmlDeviceGetCount_v2(o); }

typedef struct { U environment, feature, dev_tools; } ConfCompute; /* conf_compute=environment,feature,dev tools */
R nvmlSystemGetConfComputeState(ConfCompute *o) {
  SYSTEM
  FILLS(o)
  ULL n[3];
  r = split(get("conf_compute"), n, 3);
  if (!r) *o = (ConfCompute){(U)n[0], (U)n[1], (U)n[2]};
  return r;
}
R nvmlSystemGetConfComputeGpusReadyState(U *o) {
  SYSTEM
  FILLS(o)
  const char *v = get("conf_compute_ready");
  if (!v) return NOT_SUPPORTED;
  *o = (U)atoi(v);
  return OK;
}

R nvmlDeviceGetHandleByIndex_v2(U i, D *o) {
  if (!inited) return UNINITIALIZED;
  if (i >= count()) return INVALID;
  D d = (D)(long)(i + 1);
  R r = trouble(d, __func__);
  if (r) return r;
  FILLS(o)
  *o = d;
  return OK;
}

static R find(const char *key, const char *wanted, D *o) {
  for (U i = 0; i < count(); i++) {
    D d = (D)(long)(i + 1);
    const char *v = get_of(d, key);
    if (v && !strcmp(v, wanted)) { *o = d; return OK; }
  }
  return NOT_FOUND;
}
R nvmlDeviceGetHandleByUUID(const char *uuid, D *o) { SYSTEM return find("uuid", uuid, o); }
R nvmlDeviceGetHandleByPciBusId_v2(const char *id, D *o) { SYSTEM return find("pci", id, o); }

/* --- what a GPU is */

/* a MIG device is 1000 x its GPU's handle + its place */
static const char *mig(D d, const char *key) {
  char k[KEY];
  snprintf(k, KEY, "%s.%ld", key, (long)d % 1000);
  return get_of((D)((long)d / 1000), k);
}

R nvmlDeviceGetIndex(D d, U *o) { DEVICE FILLS(o) *o = (U)((long)d - 1); return OK; }
TEXT(nvmlDeviceGetName, "name")
R nvmlDeviceGetUUID(D d, char *o, U l) { DEVICE TELLS(o, l) return text((long)d >= 1000 ? mig(d, "mig_uuid") : get_of(d, "uuid"), o, l); }
TEXT(nvmlDeviceGetSerial, "serial")
TEXT(nvmlDeviceGetVbiosVersion, "vbios")
TEXT(nvmlDeviceGetBoardPartNumber, "part_number")
TEXT(nvmlDeviceGetInforomImageVersion, "inforom")
R nvmlDeviceGetGspFirmwareVersion(D d, char *o) { DEVICE TELLS(o, 64) return text(get_of(d, "gsp_version"), o, 64); }
R nvmlDeviceValidateInforom(D d) { DEVICE U v = 0; r = number(d, "inforom_valid", &v); return r ? r : v ? OK : CORRUPTED; }
R nvmlDeviceGetMinorNumber(D d, U *o) { DEVICE FILLS(o) if (number(d, "minor", o)) *o = (U)((long)d - 1); return OK; }
NUMBER(nvmlDeviceGetBrand, "brand")
NUMBER(nvmlDeviceGetArchitecture, "architecture")
NUMBER(nvmlDeviceGetNumGpuCores, "cores")
NUMBER(nvmlDeviceGetNumaNodeId, "numa_node")
R nvmlDeviceGetMemoryAffinity(D d, U words, ULL *o, int scope) {
  DEVICE
  (void)scope;
  if (is_garbled(d, __func__)) return rubbish(o, words * sizeof *o);
  memset(o, 0, words * sizeof *o);
  return wide(d, "numa_affinity", o);
}

R nvmlDeviceGetCudaComputeCapability(D d, int *major, int *minor) {
  DEVICE
  if (is_garbled(d, __func__)) return rubbish(major, sizeof *major) | rubbish(minor, sizeof *minor);
  const char *v = get_of(d, "cc");
  return v && sscanf(v, "%d.%d", major, minor) == 2 ? OK : NOT_SUPPORTED;
}

typedef struct { char busIdLegacy[16]; U domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]; } Pci;
R nvmlDeviceGetPciInfo_v3(D d, Pci *p) {
  DEVICE
  FILLS(p)
  const char *v = get_of(d, "pci");
  U function = 0;
  if (!v) return NOT_SUPPORTED;
  memset(p, 0, sizeof *p);
  sscanf(v, "%x:%x:%x.%x", &p->domain, &p->bus, &p->device, &function);
  snprintf(p->busId, sizeof p->busId, "%08X:%02X:%02X.%X", p->domain, p->bus & 0xff, p->device & 0xff, function & 7);
  snprintf(p->busIdLegacy, sizeof p->busIdLegacy, "%04X:%02X:%02X.%X", p->domain & 0xffff, p->bus & 0xff, p->device & 0xff, function & 7);
  number(d, "pci_device_id", &p->pciDeviceId);
  number(d, "pci_subsystem_id", &p->pciSubSystemId);
  return OK;
}

typedef struct { ULL total, free, used; } Memory;
typedef struct { U version; ULL total, reserved, free, used; } Memory2;
R nvmlDeviceGetMemoryInfo(D d, Memory *m) { /* the old structure counts the reserve as used */
  DEVICE
  FILLS(m)
  m->total = big(d, "mem_total");
  m->used = big(d, "mem_used") + big(d, "mem_reserved");
  m->free = m->total - m->used;
  return m->total ? OK : NOT_SUPPORTED;
}
R nvmlDeviceGetMemoryInfo_v2(D d, Memory2 *m) {
  DEVICE
  if (m->version != 0x02000028) return BAD_VERSION;
  FILLS(m)
  m->total = big(d, "mem_total");
  m->used = big(d, "mem_used");
  m->reserved = big(d, "mem_reserved");
  m->free = m->total - m->used - m->reserved;
  return m->total ? OK : NOT_SUPPORTED;
}
R nvmlDeviceGetBAR1MemoryInfo(D d, Memory *m) {
  DEVICE
  FILLS(m)
  m->total = big(d, "bar1_total");
  m->used = big(d, "bar1_used");
  m->free = m->total - m->used;
  return m->total ? OK : NOT_SUPPORTED;
}

/* --- modes */

static R pair(D d, const char *key, const char *pending_key, U *current, U *pending) {
  R r = number(d, key, current);
  if (!r && number(d, pending_key, pending)) *pending = *current;
  return r;
}
#define PAIR(name, key, second) R name(D d, U *c, U *p) { \
  DEVICE if (is_garbled(d, __func__)) return rubbish(c, sizeof *c) | rubbish(p, sizeof *p); return pair(d, key, second, c, p); }
PAIR(nvmlDeviceGetEccMode, "ecc", "ecc_pending")
PAIR(nvmlDeviceGetMigMode, "mig", "mig_pending")
PAIR(nvmlDeviceGetGspFirmwareMode, "gsp", "gsp_default")
PAIR(nvmlDeviceGetPowerManagementLimitConstraints, "power_min_mw", "power_max_mw")
NUMBER(nvmlDeviceGetMaxMigDeviceCount, "mig_max")
R nvmlDeviceGetMigDeviceHandleByIndex(D d, U i, D *o) { /* mig_instances=<count>: the first places are taken */
  DEVICE
  FILLS(o)
  U taken = 0;
  number(d, "mig_instances", &taken);
  if (i >= taken) return NOT_FOUND;
  *o = (D)(long)(1000 * (long)d + i);
  return OK;
}
typedef struct { U sms, copy, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices; ULL memory_mb; } Attributes;
R nvmlDeviceGetAttributes_v2(D d, Attributes *o) { /* mig_profile.<place>=GPU slices,compute slices,MiB */
  DEVICE
  FILLS(o)
  ULL n[3];
  memset(o, 0, sizeof *o);
  r = split((long)d >= 1000 ? mig(d, "mig_profile") : NULL, n, 3);
  o->gpu_slices = (U)n[0], o->compute_slices = (U)n[1], o->memory_mb = n[2];
  return r;
}
NUMBER(nvmlDeviceGetPersistenceMode, "persistence")
NUMBER(nvmlDeviceGetComputeMode, "compute_mode")
NUMBER(nvmlDeviceGetVirtualizationMode, "virtualization")
NUMBER(nvmlDeviceGetHostVgpuMode, "host_vgpu_mode")
NUMBER(nvmlDeviceGetDisplayActive, "display_active")
NUMBER(nvmlDeviceGetDisplayMode, "display_mode")
NUMBER(nvmlDeviceGetC2cModeInfoV, "c2c")

typedef struct { U year; unsigned short month, day, hour, min, sec; unsigned char status; } Expiry;
typedef struct { U code, state; char info[128], product[128]; U enabled; Expiry expiry; } Feature;
typedef struct { int supported; U count; Feature features[3]; } Features;
R nvmlDeviceGetGridLicensableFeatures_v4(D d, Features *o) { /* licence=supported,features,state,expiry status,y,m,d */
  DEVICE
  FILLS(o)
  ULL n[7];
  memset(o, 0, sizeof *o);
  r = split(get_of(d, "licence"), n, 7);
  o->supported = (int)n[0], o->count = (U)n[1];
  o->features[0].state = o->features[0].enabled = (U)n[2];
  o->features[0].expiry = (Expiry){(U)n[4], (unsigned short)n[5], (unsigned short)n[6], 0, 0, 0, (unsigned char)n[3]};
  text(get_of(d, "licence_product"), o->features[0].product, 128);
  return r;
}

/* --- power, temperature, clocks */

NUMBER(nvmlDeviceGetPowerUsage, "power_mw")
NUMBER(nvmlDeviceGetEnforcedPowerLimit, get_of(d, "power_enforced_mw") ? "power_enforced_mw" : "power_limit_mw")
NUMBER(nvmlDeviceGetPowerManagementLimit, "power_limit_mw")
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, get_of(d, "power_default_mw") ? "power_default_mw" : "power_limit_mw")
COUNT(nvmlDeviceGetTotalEnergyConsumption, "energy_mj")
NUMBER(nvmlDeviceGetPerformanceState, "pstate")
R nvmlDeviceGetTemperature(D d, int sensor, U *o) { DEVICE FILLS(o) (void)sensor; return number(d, "temp_c", o); }
NUMBERED(nvmlDeviceGetTemperatureThreshold, "temp_limit")
typedef struct { U version; int sensorType, temperature; } TemperatureV;
R nvmlDeviceGetTemperatureV(D d, TemperatureV *t) {
  DEVICE
  if (t->version != 0x0100000C) return BAD_VERSION;
  FILLS(t)
  U found;
  r = number(d, "temp_c", &found);
  if (!r) t->temperature = (int)found;
  return r;
}
typedef struct { U version; int margin; } Margin;
R nvmlDeviceGetMarginTemperature(D d, Margin *m) {
  DEVICE
  if (m->version != 0x01000008) return BAD_VERSION;
  FILLS(m)
  const char *v = get_of(d, "temp_margin");
  if (!v) return NOT_SUPPORTED;
  m->margin = atoi(v);
  return OK;
}
NUMBERED(nvmlDeviceGetClockInfo, "clock")
NUMBERED(nvmlDeviceGetMaxClockInfo, "maxclock")
NUMBERED(nvmlDeviceGetApplicationsClock, "appclock")
NUMBERED(nvmlDeviceGetDefaultApplicationsClock, "appclock_default")
COUNT(nvmlDeviceGetCurrentClocksThrottleReasons, "throttle")
COUNT(nvmlDeviceGetCurrentClocksEventReasons, "throttle")
COUNT(nvmlDeviceGetSupportedClocksThrottleReasons, "throttle_supported")
COUNT(nvmlDeviceGetSupportedClocksEventReasons, "throttle_supported")
typedef struct { ULL reference_us, violation_ns; } Violation;
R nvmlDeviceGetViolationStatus(D d, int policy, Violation *o) {
  DEVICE
  FILLS(o)
  char k[24];
  snprintf(k, sizeof k, "violation.%d", policy);
  o->reference_us = 1;
  return wide(d, k, &o->violation_ns);
}
typedef struct { U gpu, memory; } Utilization;
R nvmlDeviceGetUtilizationRates(D d, Utilization *o) {
  DEVICE
  FILLS(o)
  if (number(d, "util_mem", &o->memory)) o->memory = 0;
  return number(d, "util", &o->gpu);
}

/* --- memory errors */

R nvmlDeviceGetTotalEccErrors(D d, int kind, int counter, ULL *o) {
  DEVICE
  FILLS(o)
  char k[24];
  snprintf(k, sizeof k, "ecc_err.%d.%d", kind, counter);
  if (!big(d, "ecc")) return NOT_SUPPORTED;
  *o = big(d, k);
  return OK;
}
R nvmlDeviceGetMemoryErrorCounter(D d, int kind, int counter, int place, ULL *o) {
  DEVICE
  FILLS(o)
  char k[40];
  snprintf(k, sizeof k, "mem_err.%d.%d.%d", kind, counter, place);
  return big(d, "ecc") ? wide(d, k, o) : NOT_SUPPORTED;
}
typedef struct { U version; ULL aggregate[3], volatile_[3], buckets[5]; U exceeded; } Sram;
R nvmlDeviceGetSramEccErrorStatus(D d, Sram *o) { /* sram=exceeded,volatile x3,aggregate x3 (parity, SEC-DED, corrected),L2,SM,PCIe,MCU,other */
  DEVICE
  if (o->version != 0x01000068) return BAD_VERSION;
  FILLS(o)
  ULL n[12];
  r = split(get_of(d, "sram"), n, 12);
  o->exceeded = (U)n[0];
  memcpy(o->volatile_, n + 1, sizeof o->volatile_);
  memcpy(o->aggregate, n + 4, sizeof o->aggregate);
  memcpy(o->buckets, n + 7, sizeof o->buckets);
  return r;
}
R nvmlDeviceGetRemappedRows(D d, U *corrected, U *uncorrected, U *pending, U *failed) { /* remap=corrected,uncorrected,pending,failed */
  DEVICE
  if (is_garbled(d, __func__)) return rubbish(corrected, 4) | rubbish(uncorrected, 4) | rubbish(pending, 4) | rubbish(failed, 4);
  ULL n[4];
  r = split(get_of(d, "remap"), n, 4);
  *corrected = (U)n[0], *uncorrected = (U)n[1], *pending = (U)n[2], *failed = (U)n[3];
  return r;
}
typedef struct { U max, high, partial, low, none; } Histogram;
R nvmlDeviceGetRowRemapperHistogram(D d, Histogram *o) { /* remap_banks=max,high,partial,low,none */
  DEVICE
  FILLS(o)
  ULL n[5];
  r = split(get_of(d, "remap_banks"), n, 5);
  *o = (Histogram){(U)n[0], (U)n[1], (U)n[2], (U)n[3], (U)n[4]};
  return r;
}
static R retired(D d, const char *function, int cause, U *count, ULL *pages, ULL *times) { /* retired.<cause>=<count> */
  if (is_garbled(d, function)) { rubbish(count, sizeof *count); *count |= 0x80000000u; return OK; }
  char k[24];
  U wanted = 0, room = *count;
  R r = numbered(d, "retired", cause, &wanted);
  if (r) return r;
  *count = wanted;
  if (room < wanted) return TOO_SMALL;
  snprintf(k, sizeof k, "retired_time.%d", cause); /* microseconds since 1970 */
  for (U i = 0; i < wanted; i++) { pages[i] = 0x1000 * i; if (times) times[i] = big(d, k); }
  return OK;
}
R nvmlDeviceGetRetiredPages(D d, int cause, U *c, ULL *p) { DEVICE return retired(d, __func__, cause, c, p, NULL); }
R nvmlDeviceGetRetiredPages_v2(D d, int cause, U *c, ULL *p, ULL *t) { DEVICE return retired(d, __func__, cause, c, p, t); }
NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, "retired_pending")
typedef struct { U version, flag; } Flag;
R nvmlDeviceGetUnrepairableMemoryFlag_v1(D d, Flag *o) { DEVICE FILLS(o) return number(d, "unrepairable", &o->flag); }
typedef struct { U version, channel, tpc; } Repair;
R nvmlDeviceGetRepairStatus(D d, Repair *o) { /* repair=channel,TPC */
  DEVICE
  FILLS(o)
  ULL n[2];
  r = split(get_of(d, "repair"), n, 2);
  o->channel = (U)n[0], o->tpc = (U)n[1];
  return r;
}

/* --- field values: field.<id>=<number>, field.<id>.<link> for one link */

typedef struct { U id, scope; long long stamp, latency; U type; R r; union { U u; ULL ull; int i; } value; } Field;
static void field(D d, Field *f) {
  char k[40];
  snprintf(k, sizeof k, "field.%u.%u", f->id, f->scope);
  const char *v = get_of(d, k);
  snprintf(k, sizeof k, "field.%u", f->id);
  if (!v) v = get_of(d, k);
  if (!v && f->id == 91) v = get_of(d, "nvlinks"); /* NVML_FI_DEV_NVLINK_LINK_COUNT */
  f->r = v ? OK : NOT_SUPPORTED;
  if (!v) return;
  f->value.ull = 0;
  if (v[0] == '-') { f->type = 5; f->value.i = atoi(v); }
  else { f->value.ull = strtoull(v, NULL, 0); f->type = f->value.ull >> 32 ? 3 : 1; }
}
R nvmlDeviceGetFieldValues(D d, int c, Field *f) {
  DEVICE
  if (is_garbled(d, __func__)) {
    rubbish(f, (size_t)c * sizeof *f);
    for (int i = 0; i < c; i++) f[i].r = i % 2 ? OK : f[i].r; /* some codes that NVML has, some values */
    return OK;
  }
  for (int i = 0; i < c; i++) field(d, f + i);
  return OK;
}

/* --- buses */

NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen")
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_gen_max")
NUMBER(nvmlDeviceGetGpuMaxPcieLinkGeneration, get_of(d, "pcie_gen_device_max") ? "pcie_gen_device_max" : "pcie_gen_max")
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
NUMBER(nvmlDeviceGetPcieReplayCounter, "pcie_replay")

static const char *of_pair(D a, D b, const char *key, const char *last) { /* <key>.<i>.<j><last>, else <key><last> */
  char k[KEY];
  snprintf(k, KEY, "%s.%ld.%ld%s", key, (long)a - 1, (long)b - 1, last);
  const char *v = get(k);
  snprintf(k, KEY, "%s%s", key, last);
  return v ? v : get(k);
}
R nvmlDeviceGetTopologyCommonAncestor(D d, D other, int *o) {
  DEVICE
  FILLS(o)
  const char *v = of_pair(d, other, "topology", "");
  if (!v) return NOT_SUPPORTED;
  *o = atoi(v);
  return OK;
}
R nvmlDeviceGetP2PStatus(D d, D other, int index, int *o) { /* p2p.<index>=<status>, p2p.<i>.<j>.<index> for one pair */
  DEVICE
  FILLS(o)
  char last[16];
  snprintf(last, sizeof last, ".%d", index);
  const char *v = of_pair(d, other, "p2p", last);
  if (!v) return NOT_SUPPORTED;
  *o = atoi(v);
  return OK;
}

/* nvlinks=<links>; nvlinks_down=<the first so many are down>; nvlink_error.<link>.<counter>=<count> */
static R link_of(D d, U link) { U links = 0; number(d, "nvlinks", &links); return link < links ? OK : NOT_SUPPORTED; }
R nvmlDeviceGetNvLinkState(D d, U link, U *o) {
  DEVICE
  FILLS(o)
  r = link_of(d, link);
  *o = get_of(d, "nvlinks_down") && link < (U)atoi(get_of(d, "nvlinks_down")) ? 0 : 1;
  return r;
}
R nvmlDeviceGetNvLinkVersion(D d, U link, U *o) { DEVICE FILLS(o) r = link_of(d, link); return r ? r : number(d, "nvlink_version", o); }
R nvmlDeviceGetNvLinkRemoteDeviceType(D d, U link, U *o) { DEVICE FILLS(o) r = link_of(d, link); return r ? r : number(d, "nvlink_remote", o); }
R nvmlDeviceGetNvLinkErrorCounter(D d, U link, int counter, ULL *o) {
  DEVICE
  FILLS(o)
  char k[40];
  snprintf(k, sizeof k, "nvlink_error.%u.%d", link, counter);
  *o = big(d, k);
  return link_of(d, link);
}

typedef struct { unsigned char cluster[16]; R status; U clique, state; } Fabric1;
typedef struct { U version; unsigned char cluster[16]; R status; U clique, state, mask; } Fabric2;
typedef struct { Fabric2 old; unsigned char summary; } Fabric3;
R nvmlDeviceGetGpuFabricInfo(D d, Fabric1 *o) { /* fabric=state,status,clique,mask,summary */
  DEVICE
  FILLS(o)
  ULL n[5];
  r = split(get_of(d, "fabric"), n, 5);
  o->state = (U)n[0], o->status = (R)n[1], o->clique = (U)n[2];
  return r;
}
R nvmlDeviceGetGpuFabricInfoV(D d, Fabric2 *o) { /* fabric_struct=2: a library that knows version 2 only */
  DEVICE
  U newest = 3;
  number(d, "fabric_struct", &newest);
  if (!(o->version == 0x02000024 || (o->version == 0x03000028 && newest == 3))) return BAD_VERSION;
  if (is_garbled(d, __func__)) return rubbish(o, o->version == 0x02000024 ? sizeof(Fabric2) : sizeof(Fabric3));
  ULL n[5];
  r = split(get_of(d, "fabric"), n, 5);
  o->state = (U)n[0], o->status = (R)n[1], o->clique = (U)n[2], o->mask = (U)n[3];
  if (o->version == 0x03000028) ((Fabric3 *)o)->summary = (unsigned char)n[4];
  return r;
}

/* --- processes: procs=<count>, their pids from 1000 or from pid.<n>; graphics_procs, mps_procs */

typedef struct { U pid; ULL used; U gi, ci; } Process;
static R processes(D d, const char *function, const char *key, U *c, Process *p) {
  U wanted = 0, room = *c;
  if (is_garbled(d, function)) {
    rubbish(p, p ? room * sizeof *p : 0);
    rubbish(c, sizeof *c);
    *c |= 0x40000000u;
    return OK;
  }
  number(d, key, &wanted);
  *c = wanted;
  if (room < wanted) return TOO_SMALL;
  for (U i = 0; i < wanted; i++) {
    char k[24];
    snprintf(k, sizeof k, "pid.%u", i);
    p[i].pid = 1000 + i;
    number(d, k, &p[i].pid);
    p[i].used = 1 << 20;
    p[i].gi = p[i].ci = 0xffffffff;
  }
  return OK;
}
R nvmlDeviceGetComputeRunningProcesses_v3(D d, U *c, Process *p) { DEVICE return processes(d, __func__, "procs", c, p); }
R nvmlDeviceGetGraphicsRunningProcesses_v3(D d, U *c, Process *p) { DEVICE return processes(d, __func__, "graphics_procs", c, p); }
R nvmlDeviceGetMPSComputeRunningProcesses_v3(D d, U *c, Process *p) { DEVICE return processes(d, __func__, "mps_procs", c, p); }
R nvmlDeviceGetComputeRunningProcesses_v2(D d, U *c, Process *p) { DEVICE return processes(d, __func__, "procs", c, p); }
R nvmlDeviceGetGraphicsRunningProcesses_v2(D d, U *c, Process *p) { DEVICE return processes(d, __func__, "graphics_procs", c, p); }
R nvmlDeviceGetMPSComputeRunningProcesses_v2(D d, U *c, Process *p) { DEVICE return processes(d, __func__, "mps_procs", c, p); }
