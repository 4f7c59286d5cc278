/* A stand-in libnvidia-ml.so.1 that answers from a text file (FAKE_NVML_CONF).
 *
 * Lines are key=value.
 *   driver, nvml, cuda (12040), count, topology      the whole box
 *   <index>.<key>, *.<key>                           one GPU, every GPU
 *   err.<function>=<code>, err.*=<code>              that NVML return code from every call
 *   <index>.err.<function>=<code>, <index>.err.*     from calls about that GPU
 *   sleep.<function>=<seconds>                       hangs there (<index>.sleep.<function> for one GPU)
 *   crash.<function>=1                               aborts there
 *   missing.<function>=1                             answers "function not found", as an old driver's library does
 * The file is read at nvmlInit; with FAKE_NVML_RELOAD=1 at every call (a GPU lost in mid-run).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int R;
typedef unsigned int U;
typedef unsigned long long ULL;
typedef void *D;

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_FUNCTION = 13, BAD_VERSION = 25 };
enum { LINES = 512, KEY = 96, VALUE = 2048 };

static char keys[LINES][KEY], values[LINES][VALUE];
static int lines, inited;

static void load(void) {
  char line[KEY + VALUE];
  const char *path = getenv("FAKE_NVML_CONF");
  FILE *file = path ? fopen(path, "r") : NULL;
  lines = 0;
  while (file && lines < LINES && fgets(line, sizeof line, file)) {
    char *equals = strchr(line, '=');
    if (line[0] == '#' || !equals) continue;
    *equals = 0;
    equals[1 + strcspn(equals + 1, "\r\n")] = 0;
    snprintf(keys[lines], KEY, "%.95s", line);
    snprintf(values[lines], VALUE, "%.2047s", equals + 1);
    lines++;
  }
  if (file) fclose(file);
}

static const char *get(const char *key) { /* the last line wins, so that a test can append overrides */
  for (int i = lines - 1; i >= 0; i--) if (!strcmp(keys[i], key)) return values[i];
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
  snprintf(key, KEY, "%s.%s", what, function);
  const char *value = get(key);
  return value || !device ? value : get_of(device, key);
}

static R trouble(D device, const char *function) {
  if (getenv("FAKE_NVML_RELOAD")) load();
  const char *value = scripted(device, "sleep", function);
  if (value) sleep((unsigned)atoi(value));
  if (scripted(device, "crash", function)) abort();
  if (scripted(device, "missing", function)) return NO_FUNCTION;
  value = scripted(device, "err", function);
  if (!value) value = get("err.*");
  if (!value && device) value = get_of(device, "err.*");
  return value ? atoi(value) : OK;
}

#define SYSTEM R r = trouble(NULL, __func__); if (r) return r; if (!inited) return UNINITIALIZED;
#define DEVICE if (!inited) return UNINITIALIZED; if (!d) return INVALID; R r = trouble(d, __func__); if (r) return r;

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

static ULL big(D d, const char *key) { const char *value = get_of(d, key); return value ? strtoull(value, NULL, 0) : 0; }

static R wide(D d, const char *key, ULL *out) {
  if (!get_of(d, key)) return NOT_SUPPORTED;
  *out = big(d, key);
  return OK;
}

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
    case 15: return "GPU is lost";
    case 16: return "GPU requires reset";
    case 17: return "The operating system has blocked the request";
    case 18: return "Driver/library version mismatch";
    case 19: return "In use by another client";
    case 20: return "Insufficient Memory";
    default: return "Unknown Error";
  }
}

/* --- the system */

R nvmlSystemGetDriverVersion(char *o, U l) { SYSTEM return text(get("driver"), o, l); }
R nvmlSystemGetNVMLVersion(char *o, U l) { SYSTEM const char *v = get("nvml"); return text(v ? v : get("driver"), o, l); }
R nvmlSystemGetCudaDriverVersion_v2(int *o) {
  SYSTEM
  const char *v = get("cuda");
  if (!v) return NO_FUNCTION;
  *o = atoi(v);
  return OK;
}
R nvmlSystemGetCudaDriverVersion(int *o) { return nvmlSystemGetCudaDriverVersion_v2(o); }

static U count(void) { const char *v = get("count"); return v ? (U)atoi(v) : 0; }

R nvmlDeviceGetCount_v2(U *o) { SYSTEM *o = count(); return OK; }
R nvmlDeviceGetCount(U *o) { return nvmlDeviceGetCount_v2(o); }

R nvmlDeviceGetHandleByIndex_v2(U i, D *o) {
  if (!inited) return UNINITIALIZED;
  if (i >= count()) return INVALID;
  D d = (D)(long)(i + 1);
  R r = trouble(d, __func__);
  if (!r) *o = d;
  return r;
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

R nvmlDeviceGetIndex(D d, U *o) { DEVICE *o = (U)((long)d - 1); return OK; }
R nvmlDeviceGetName(D d, char *o, U l) { DEVICE return text(get_of(d, "name"), o, l); }
R nvmlDeviceGetUUID(D d, char *o, U l) { DEVICE return text(get_of(d, "uuid"), o, l); }
R nvmlDeviceGetSerial(D d, char *o, U l) { DEVICE return text(get_of(d, "serial"), o, l); }
R nvmlDeviceGetVbiosVersion(D d, char *o, U l) { DEVICE return text(get_of(d, "vbios"), o, l); }
R nvmlDeviceGetBoardPartNumber(D d, char *o, U l) { DEVICE return text(get_of(d, "part_number"), o, l); }
R nvmlDeviceGetInforomImageVersion(D d, char *o, U l) { DEVICE return text(get_of(d, "inforom"), o, l); }
R nvmlDeviceGetGspFirmwareVersion(D d, char *o) { DEVICE return text(get_of(d, "gsp_version"), o, 64); }
R nvmlDeviceGetMinorNumber(D d, U *o) { DEVICE if (number(d, "minor", o)) *o = (U)((long)d - 1); return OK; }
R nvmlDeviceGetBrand(D d, U *o) { DEVICE return number(d, "brand", o); }
R nvmlDeviceGetArchitecture(D d, U *o) { DEVICE return number(d, "architecture", o); }
R nvmlDeviceGetNumGpuCores(D d, U *o) { DEVICE return number(d, "cores", o); }

R nvmlDeviceGetCudaComputeCapability(D d, int *major, int *minor) {
  DEVICE
  const char *v = get_of(d, "cc");
  return v && sscanf(v, "%d.%d", major, minor) == 2 ? OK : NOT_SUPPORTED;
}

typedef struct { char busIdLegacy[16]; U domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]; } Pci;
R nvmlDeviceGetPciInfo_v3(D d, Pci *p) {
  DEVICE
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
R nvmlDeviceGetMemoryInfo(D d, Memory *m) {
  DEVICE
  m->total = big(d, "mem_total");
  m->used = big(d, "mem_used");
  m->free = m->total - m->used;
  return m->total ? OK : NOT_SUPPORTED;
}
R nvmlDeviceGetMemoryInfo_v2(D d, Memory2 *m) {
  DEVICE
  if (m->version != 0x02000028) return BAD_VERSION;
  m->total = big(d, "mem_total");
  m->used = big(d, "mem_used");
  m->reserved = big(d, "mem_reserved");
  m->free = m->total - m->used - m->reserved;
  return m->total ? OK : NOT_SUPPORTED;
}
R nvmlDeviceGetBAR1MemoryInfo(D d, Memory *m) {
  DEVICE
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
R nvmlDeviceGetEccMode(D d, U *c, U *p) { DEVICE return pair(d, "ecc", "ecc_pending", c, p); }
R nvmlDeviceGetMigMode(D d, U *c, U *p) { DEVICE return pair(d, "mig", "mig_pending", c, p); }
R nvmlDeviceGetGspFirmwareMode(D d, U *c, U *p) { DEVICE return pair(d, "gsp", "gsp_default", c, p); }
R nvmlDeviceGetMaxMigDeviceCount(D d, U *o) { DEVICE return number(d, "mig_max", o); }
R nvmlDeviceGetMigDeviceHandleByIndex(D d, U i, D *o) { /* mig_instances=<count>: the first places are taken */
  DEVICE
  U taken = 0;
  number(d, "mig_instances", &taken);
  if (i >= taken) return NOT_FOUND;
  *o = (D)(long)(1000 * (long)d + i);
  return OK;
}
R nvmlDeviceGetPersistenceMode(D d, U *o) { DEVICE return number(d, "persistence", o); }
R nvmlDeviceGetComputeMode(D d, U *o) { DEVICE return number(d, "compute_mode", o); }
R nvmlDeviceGetVirtualizationMode(D d, U *o) { DEVICE return number(d, "virtualization", o); }
R nvmlDeviceGetDisplayActive(D d, U *o) { DEVICE return number(d, "display_active", o); }

/* --- power, temperature, clocks */

R nvmlDeviceGetPowerUsage(D d, U *o) { DEVICE return number(d, "power_mw", o); }
R nvmlDeviceGetEnforcedPowerLimit(D d, U *o) { DEVICE return number(d, "power_limit_mw", o); }
R nvmlDeviceGetPowerManagementLimit(D d, U *o) { DEVICE return number(d, "power_limit_mw", o); }
R nvmlDeviceGetPowerManagementDefaultLimit(D d, U *o) { DEVICE return number(d, get_of(d, "power_default_mw") ? "power_default_mw" : "power_limit_mw", o); }
R nvmlDeviceGetTotalEnergyConsumption(D d, ULL *o) { DEVICE return wide(d, "energy_mj", o); }
R nvmlDeviceGetPerformanceState(D d, U *o) { DEVICE return number(d, "pstate", o); }
R nvmlDeviceGetTemperature(D d, int sensor, U *o) { DEVICE (void)sensor; return number(d, "temp_c", o); }
R nvmlDeviceGetTemperatureThreshold(D d, int which, U *o) { DEVICE char k[32]; snprintf(k, sizeof k, "temp_limit.%d", which); return number(d, k, o); }
typedef struct { U version; int sensorType, temperature; } TemperatureV;
R nvmlDeviceGetTemperatureV(D d, TemperatureV *t) {
  DEVICE
  U found;
  r = number(d, "temp_c", &found);
  if (!r) t->temperature = (int)found;
  return r;
}
R nvmlDeviceGetClockInfo(D d, int kind, U *o) { DEVICE char k[24]; snprintf(k, sizeof k, "clock.%d", kind); return number(d, k, o); }
R nvmlDeviceGetMaxClockInfo(D d, int kind, U *o) { DEVICE char k[24]; snprintf(k, sizeof k, "maxclock.%d", kind); return number(d, k, o); }
R nvmlDeviceGetCurrentClocksThrottleReasons(D d, ULL *o) { DEVICE return wide(d, "throttle", o); }
R nvmlDeviceGetCurrentClocksEventReasons(D d, ULL *o) { DEVICE return wide(d, "throttle", o); }
typedef struct { U gpu, memory; } Utilization;
R nvmlDeviceGetUtilizationRates(D d, Utilization *o) { DEVICE o->memory = 0; return number(d, "util", &o->gpu); }

/* --- memory errors */

R nvmlDeviceGetTotalEccErrors(D d, int kind, int counter, ULL *o) {
  DEVICE
  char k[24];
  snprintf(k, sizeof k, "ecc_err.%d.%d", kind, counter);
  if (!get_of(d, "ecc")) return NOT_SUPPORTED;
  *o = big(d, k);
  return OK;
}
R nvmlDeviceGetRemappedRows(D d, U *corrected, U *uncorrected, U *pending, U *failed) {
  DEVICE
  *corrected = *uncorrected = *pending = *failed = 0;
  if (!get_of(d, "remap")) return NOT_SUPPORTED; /* remap=corrected,uncorrected,pending,failed */
  sscanf(get_of(d, "remap"), "%u,%u,%u,%u", corrected, uncorrected, pending, failed);
  return OK;
}

/* --- buses */

R nvmlDeviceGetCurrPcieLinkGeneration(D d, U *o) { DEVICE return number(d, "pcie_gen", o); }
R nvmlDeviceGetMaxPcieLinkGeneration(D d, U *o) { DEVICE return number(d, "pcie_gen_max", o); }
R nvmlDeviceGetGpuMaxPcieLinkGeneration(D d, U *o) { DEVICE return number(d, "pcie_gen_max", o); }
R nvmlDeviceGetCurrPcieLinkWidth(D d, U *o) { DEVICE return number(d, "pcie_width", o); }
R nvmlDeviceGetMaxPcieLinkWidth(D d, U *o) { DEVICE return number(d, "pcie_width_max", o); }
R nvmlDeviceGetPcieReplayCounter(D d, U *o) { DEVICE return number(d, "pcie_replay", o); }
R nvmlDeviceGetTopologyCommonAncestor(D a, D b, int *o) {
  (void)a, (void)b;
  SYSTEM
  const char *v = get("topology");
  if (!v) return NOT_SUPPORTED;
  *o = atoi(v);
  return OK;
}
R nvmlDeviceGetNvLinkState(D d, U link, U *o) {
  DEVICE
  U links = 0;
  number(d, "nvlinks", &links);
  if (link >= links) return NOT_SUPPORTED;
  *o = get_of(d, "nvlinks_down") && link < (U)atoi(get_of(d, "nvlinks_down")) ? 0 : 1;
  return OK;
}

/* --- processes: procs=<count>, their pids from 1000 or from pid.<n> */

typedef struct { U pid; ULL used; U gi, ci; } Process;
R nvmlDeviceGetComputeRunningProcesses_v3(D d, U *c, Process *p) {
  DEVICE
  U wanted = 0;
  number(d, "procs", &wanted);
  if (*c < wanted) { *c = wanted; return TOO_SMALL; }
  *c = wanted;
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
R nvmlDeviceGetGraphicsRunningProcesses_v3(D d, U *c, Process *p) { DEVICE (void)p; *c = 0; return OK; }
