// Every sentence of the page, in five languages; {name} is filled in.

const TEXTS = {
  en: {
    title: "Customer service", skip: "Skip to the message field", person: "Ask for a person", fresh: "New conversation",
    language: "Language", log: "Conversation", hello: "Hello, how can we help?",
    intro: "Ask about a charge, a device, your account or an order. You can ask for a person at any time.",
    ideas: ["I was charged twice", "My tablet does not connect", "I can't sign in", "Where is my order?"],
    label: "Your message", placeholder: "Write a message", send: "Send", stop: "Stop the answer", down: "Newest",
    hint: "Enter sends, Shift + Enter starts a new line",
    too_long: "Too long to send: shorten it by about {over} letters",
    offline: "Answers come from the built-in offline model: it quotes our help pages and your records, and says so when it does not know.",
    connecting: "Connecting…", reconnecting: "Connection lost, trying again…", offline_now: "You are offline",
    thinking: "One moment…", reading: "Reading our help pages…", writing: "Writing…", acting: "Taking care of it…",
    look_payment: "Looking up your payments…", look_invoice: "Looking up your invoices…", look_order: "Looking up your orders…",
    look_return: "Looking up your returns…", look_device: "Checking your devices…", look_profile: "Looking up your account…",
    look_ticket: "Looking up your requests…", look_plan: "Looking up your plan…", look_other: "Looking it up…",
    billing: "Billing", technical: "Technical help", account: "Account", returns: "Orders and returns", escalation: "Senior team",
    assistant: "Parley", system: "Notice", you: "You", answers: "{who} answers", takes_over: "{who} has taken over from {before}",
    asked_person: "You asked for a person.", stopped: "The answer was stopped.", notice: "Notice", sources: "Sources ({count})",
    source: "Source {n}: {title}", from_records: "from your records", helpful: "Helpful", unhelpful: "Not helpful",
    sending: "Sending…", retry: "Send again", not_sent: "Not sent: {why}", queue: "You are number {position} in the queue.",
    signin: "Sign in first, then open this page again.", expired: "Your session has ended. Sign in again.",
    slow_down: "That was a lot at once. It will be sent in a moment.", busy: "We are busy. It will be sent in a moment.",
    said: "{who}: {text}", full: "The conversation could not be opened. A new one was started.",
    missing_nats: "We can't take messages right now. What you write is kept here and sent by itself as soon as we can.",
    missing_conversation: "Answers take longer right now. Your messages are kept and answered later.",
    missing_rag: "We can't look things up right now, so answers may leave something open.",
    missing_llm_gateway: "Answers may take longer or fail right now.",
    missing_archiver: "This conversation is kept safely; it is filed in our records a little later than usual.",
    missing_other: "{who} can't be reached right now; answers from there take longer.",
  },
  de: {
    title: "Kundendienst", skip: "Zum Nachrichtenfeld springen", person: "Mit einem Menschen sprechen", fresh: "Neues Gespräch",
    language: "Sprache", log: "Gespräch", hello: "Hallo, wie können wir helfen?",
    intro: "Fragen Sie nach einer Abbuchung, einem Gerät, Ihrem Konto oder einer Bestellung. Einen Menschen können Sie jederzeit verlangen.",
    ideas: ["Es wurde doppelt abgebucht", "Mein Tablet verbindet sich nicht", "Ich kann mich nicht anmelden", "Wo ist meine Bestellung?"],
    label: "Ihre Nachricht", placeholder: "Nachricht schreiben", send: "Senden", stop: "Antwort anhalten", down: "Neueste",
    hint: "Enter sendet, Umschalt + Enter beginnt eine neue Zeile",
    too_long: "Zu lang zum Senden: bitte um etwa {over} Buchstaben kürzen",
    offline: "Die Antworten kommen vom eingebauten Offline-Modell: Es zitiert unsere Hilfeseiten und Ihre Daten und sagt, wenn es etwas nicht weiß.",
    connecting: "Verbinde…", reconnecting: "Verbindung verloren, neuer Versuch…", offline_now: "Sie sind offline",
    thinking: "Einen Moment…", reading: "Lese unsere Hilfeseiten…", writing: "Schreibe…", acting: "Wird erledigt…",
    look_payment: "Sehe Ihre Zahlungen nach…", look_invoice: "Sehe Ihre Rechnungen nach…", look_order: "Sehe Ihre Bestellungen nach…",
    look_return: "Sehe Ihre Rücksendungen nach…", look_device: "Prüfe Ihre Geräte…", look_profile: "Sehe Ihr Konto nach…",
    look_ticket: "Sehe Ihre Anfragen nach…", look_plan: "Sehe Ihren Tarif nach…", look_other: "Sehe nach…",
    billing: "Abrechnung", technical: "Technische Hilfe", account: "Konto", returns: "Bestellungen und Rücksendungen", escalation: "Leitendes Team",
    assistant: "Parley", system: "Hinweis", you: "Sie", answers: "Es antwortet: {who}", takes_over: "{who} hat von {before} übernommen",
    asked_person: "Sie haben nach einem Menschen gefragt.", stopped: "Die Antwort wurde angehalten.", notice: "Hinweis", sources: "Quellen ({count})",
    source: "Quelle {n}: {title}", from_records: "aus Ihren Daten", helpful: "Hilfreich", unhelpful: "Nicht hilfreich",
    sending: "Wird gesendet…", retry: "Nochmals senden", not_sent: "Nicht gesendet: {why}", queue: "Sie sind Nummer {position} in der Warteschlange.",
    signin: "Melden Sie sich an und öffnen Sie die Seite erneut.", expired: "Ihre Sitzung ist abgelaufen. Melden Sie sich erneut an.",
    slow_down: "Das war viel auf einmal. Es wird gleich gesendet.", busy: "Wir sind ausgelastet. Es wird gleich gesendet.",
    said: "{who}: {text}", full: "Das Gespräch ließ sich nicht öffnen. Ein neues wurde begonnen.",
    missing_nats: "Wir können gerade keine Nachrichten annehmen. Was Sie schreiben, bleibt hier und wird von selbst gesendet, sobald es geht.",
    missing_conversation: "Antworten dauern gerade länger. Ihre Nachrichten sind aufgehoben und werden später beantwortet.",
    missing_rag: "Wir können gerade nichts nachschlagen; Antworten lassen vielleicht etwas offen.",
    missing_llm_gateway: "Antworten können gerade länger dauern oder ausfallen.",
    missing_archiver: "Dieses Gespräch ist sicher aufgehoben; in unsere Akten kommt es etwas später als sonst.",
    missing_other: "{who}: gerade nicht erreichbar; Antworten von dort dauern länger.",
  },
  fr: {
    title: "Service client", skip: "Aller au champ du message", person: "Parler à une personne", fresh: "Nouvelle conversation",
    language: "Langue", log: "Conversation", hello: "Bonjour, comment pouvons-nous vous aider ?",
    intro: "Une facturation, un appareil, votre compte ou une commande : demandez. Vous pouvez à tout moment parler à une personne.",
    ideas: ["J’ai été débité deux fois", "Ma tablette ne se connecte pas", "Je n’arrive pas à me connecter", "Où est ma commande ?"],
    label: "Votre message", placeholder: "Écrire un message", send: "Envoyer", stop: "Arrêter la réponse", down: "Le plus récent",
    hint: "Entrée envoie, Maj + Entrée commence une nouvelle ligne",
    too_long: "Trop long : raccourcissez d'environ {over} lettres",
    offline: "Les réponses viennent du modèle hors ligne intégré : il cite nos pages d’aide et vos données, et dit quand il ne sait pas.",
    connecting: "Connexion…", reconnecting: "Connexion perdue, nouvel essai…", offline_now: "Vous êtes hors ligne",
    thinking: "Un instant…", reading: "Lecture de nos pages d’aide…", writing: "Rédaction…", acting: "Je m’en occupe…",
    look_payment: "Consultation de vos paiements…", look_invoice: "Consultation de vos factures…", look_order: "Consultation de vos commandes…",
    look_return: "Consultation de vos retours…", look_device: "Vérification de vos appareils…", look_profile: "Consultation de votre compte…",
    look_ticket: "Consultation de vos demandes…", look_plan: "Consultation de votre forfait…", look_other: "Recherche…",
    billing: "Facturation", technical: "Aide technique", account: "Compte", returns: "Commandes et retours", escalation: "Équipe senior",
    assistant: "Parley", system: "Avis", you: "Vous", answers: "{who} vous répond", takes_over: "{who} prend le relais de {before}",
    asked_person: "Vous avez demandé une personne.", stopped: "La réponse a été arrêtée.", notice: "Avis", sources: "Sources ({count})",
    source: "Source {n} : {title}", from_records: "d’après vos données", helpful: "Utile", unhelpful: "Pas utile",
    sending: "Envoi…", retry: "Renvoyer", not_sent: "Non envoyé : {why}", queue: "Vous êtes numéro {position} dans la file.",
    signin: "Connectez-vous, puis rouvrez cette page.", expired: "Votre session a expiré. Reconnectez-vous.",
    slow_down: "Cela fait beaucoup d’un coup. L’envoi se fera dans un instant.", busy: "Nous sommes occupés. L’envoi se fera dans un instant.",
    said: "{who} : {text}", full: "La conversation n’a pas pu être ouverte. Une nouvelle a commencé.",
    missing_nats: "Nous ne pouvons pas recevoir de messages pour le moment. Ce que vous écrivez reste ici et sera envoyé automatiquement dès que possible.",
    missing_conversation: "Les réponses prennent plus de temps en ce moment. Vos messages sont conservés et recevront une réponse plus tard.",
    missing_rag: "Nous ne pouvons rien consulter pour le moment ; les réponses peuvent être incomplètes.",
    missing_llm_gateway: "Les réponses peuvent tarder ou échouer en ce moment.",
    missing_archiver: "Cette conversation est bien conservée ; elle sera classée dans nos dossiers un peu plus tard que d’habitude.",
    missing_other: "{who} : injoignable pour le moment ; ses réponses prennent plus de temps.",
  },
  es: {
    title: "Atención al cliente", skip: "Ir al campo del mensaje", person: "Hablar con una persona", fresh: "Nueva conversación",
    language: "Idioma", log: "Conversación", hello: "Hola, ¿en qué podemos ayudarle?",
    intro: "Pregunte por un cargo, un dispositivo, su cuenta o un pedido. Puede pedir hablar con una persona en cualquier momento.",
    ideas: ["Me han cobrado dos veces", "Mi tableta no se conecta", "No puedo iniciar sesión", "¿Dónde está mi pedido?"],
    label: "Su mensaje", placeholder: "Escriba un mensaje", send: "Enviar", stop: "Detener la respuesta", down: "Lo más nuevo",
    hint: "Intro envía, Mayús + Intro empieza una línea nueva",
    too_long: "Demasiado largo: acórtelo en unas {over} letras",
    offline: "Las respuestas vienen del modelo sin conexión integrado: cita nuestras páginas de ayuda y sus datos, y dice cuando no sabe algo.",
    connecting: "Conectando…", reconnecting: "Conexión perdida, probando de nuevo…", offline_now: "No tiene conexión",
    thinking: "Un momento…", reading: "Leyendo nuestras páginas de ayuda…", writing: "Escribiendo…", acting: "Me ocupo de ello…",
    look_payment: "Consultando sus pagos…", look_invoice: "Consultando sus facturas…", look_order: "Consultando sus pedidos…",
    look_return: "Consultando sus devoluciones…", look_device: "Comprobando sus dispositivos…", look_profile: "Consultando su cuenta…",
    look_ticket: "Consultando sus solicitudes…", look_plan: "Consultando su plan…", look_other: "Consultando…",
    billing: "Facturación", technical: "Ayuda técnica", account: "Cuenta", returns: "Pedidos y devoluciones", escalation: "Equipo superior",
    assistant: "Parley", system: "Aviso", you: "Usted", answers: "Responde {who}", takes_over: "{who} toma el relevo de {before}",
    asked_person: "Ha pedido hablar con una persona.", stopped: "La respuesta se ha detenido.", notice: "Aviso", sources: "Fuentes ({count})",
    source: "Fuente {n}: {title}", from_records: "de sus datos", helpful: "Útil", unhelpful: "No es útil",
    sending: "Enviando…", retry: "Enviar de nuevo", not_sent: "No enviado: {why}", queue: "Es el número {position} de la cola.",
    signin: "Inicie sesión y vuelva a abrir esta página.", expired: "Su sesión ha terminado. Inicie sesión de nuevo.",
    slow_down: "Eso ha sido mucho de una vez. Se enviará en un momento.", busy: "Estamos ocupados. Se enviará en un momento.",
    said: "{who}: {text}", full: "No se pudo abrir la conversación. Se ha empezado una nueva.",
    missing_nats: "Ahora mismo no podemos recibir mensajes. Lo que escriba se guarda aquí y se enviará solo en cuanto sea posible.",
    missing_conversation: "Las respuestas tardan más de lo normal. Sus mensajes están guardados y se responderán más tarde.",
    missing_rag: "Ahora mismo no podemos consultar nada; las respuestas pueden quedar incompletas.",
    missing_llm_gateway: "Las respuestas pueden tardar más o fallar en este momento.",
    missing_archiver: "Esta conversación está bien guardada; se archivará en nuestros registros algo más tarde de lo habitual.",
    missing_other: "{who}: no se puede contactar ahora mismo; sus respuestas tardan más.",
  },
  ar: {
    title: "خدمة العملاء", skip: "انتقل إلى حقل الرسالة", person: "التحدث مع شخص", fresh: "محادثة جديدة",
    language: "اللغة", log: "المحادثة", hello: "مرحبًا، كيف يمكننا مساعدتك؟",
    intro: "اسأل عن خصم أو جهاز أو حسابك أو طلب. يمكنك طلب التحدث مع شخص في أي وقت.",
    ideas: ["تم الخصم مني مرتين", "جهازي اللوحي لا يتصل", "لا أستطيع تسجيل الدخول", "أين طلبي؟"],
    label: "رسالتك", placeholder: "اكتب رسالة", send: "إرسال", stop: "إيقاف الرد", down: "الأحدث",
    hint: "Enter للإرسال، Shift + Enter لسطر جديد",
    too_long: "الرسالة طويلة جدًا: اختصرها بنحو {over} حرفًا",
    offline: "تأتي الإجابات من النموذج المدمج دون اتصال: يقتبس من صفحات المساعدة وبياناتك، ويقول عندما لا يعرف.",
    connecting: "جارٍ الاتصال…", reconnecting: "انقطع الاتصال، جارٍ المحاولة…", offline_now: "أنت غير متصل",
    thinking: "لحظة من فضلك…", reading: "قراءة صفحات المساعدة…", writing: "جارٍ الكتابة…", acting: "جارٍ تنفيذ ذلك…",
    look_payment: "مراجعة مدفوعاتك…", look_invoice: "مراجعة فواتيرك…", look_order: "مراجعة طلباتك…",
    look_return: "مراجعة مرتجعاتك…", look_device: "فحص أجهزتك…", look_profile: "مراجعة حسابك…",
    look_ticket: "مراجعة طلبات الدعم…", look_plan: "مراجعة اشتراكك…", look_other: "جارٍ البحث…",
    billing: "الفوترة", technical: "الدعم الفني", account: "الحساب", returns: "الطلبات والمرتجعات", escalation: "الفريق الأعلى",
    assistant: "Parley", system: "تنبيه", you: "أنت", answers: "يجيبك: {who}", takes_over: "تولى {who} المحادثة من {before}",
    asked_person: "لقد طلبت التحدث مع شخص.", stopped: "تم إيقاف الرد.", notice: "تنبيه", sources: "المصادر ({count})",
    source: "المصدر {n}: {title}", from_records: "من بياناتك", helpful: "مفيد", unhelpful: "غير مفيد",
    sending: "جارٍ الإرسال…", retry: "إعادة الإرسال", not_sent: "لم تُرسل: {why}", queue: "رقمك في قائمة الانتظار {position}.",
    signin: "سجّل الدخول ثم افتح هذه الصفحة من جديد.", expired: "انتهت جلستك. سجّل الدخول من جديد.",
    slow_down: "كان ذلك كثيرًا دفعة واحدة. سيُرسل بعد لحظات.", busy: "نحن مشغولون. سيُرسل بعد لحظات.",
    said: "{who}: {text}", full: "تعذر فتح المحادثة. بدأت محادثة جديدة.",
    missing_nats: "لا يمكننا استلام الرسائل الآن. ما تكتبه محفوظ هنا وسيُرسل تلقائيًا في أقرب وقت ممكن.",
    missing_conversation: "تستغرق الردود وقتًا أطول الآن. رسائلك محفوظة وسيُرد عليها لاحقًا.",
    missing_rag: "لا يمكننا البحث عن المعلومات الآن، لذا قد تكون الردود غير مكتملة.",
    missing_llm_gateway: "قد تتأخر الردود أو تتعذر في الوقت الحالي.",
    missing_archiver: "هذه المحادثة محفوظة بأمان، وستُضاف إلى سجلاتنا بعد وقت أطول قليلًا من المعتاد.",
    missing_other: "{who}: غير متاح الآن، وتستغرق الردود من هناك وقتًا أطول.",
  },
};

const RIGHT_TO_LEFT = ["ar"];
let current = "en";

export function languages() {
  return Object.keys(TEXTS);
}

export function choose(wanted) {
  const short = wanted.map((name) => name.toLowerCase().split("-")[0]);
  current = short.find((name) => name in TEXTS) ?? "en";
  return current;
}

export function direction() {
  return RIGHT_TO_LEFT.includes(current) ? "rtl" : "ltr";
}

export function t(name, values = {}) {
  const text = TEXTS[current][name] ?? TEXTS.en[name] ?? name;
  if (typeof text !== "string") return text;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

export function specialist(name) {
  return name && name in TEXTS.en ? t(name) : name || t("assistant");
}

const MISSING = ["nats", "conversation", "rag", "llm-gateway", "archiver"];

// What does not work just now, in the customer's words; a part without a sentence of its own is a specialty.
export function missing(part) {
  return MISSING.includes(part) ? t(`missing_${part.replace("-", "_")}`) : t("missing_other", { who: specialist(part) });
}

export function time(at) {
  return new Intl.DateTimeFormat(current, { hour: "2-digit", minute: "2-digit" }).format(at);
}

export function day(at) {
  return new Intl.DateTimeFormat(current, { weekday: "long", day: "numeric", month: "long" }).format(at);
}

const NOUNS = ["payment", "invoice", "order", "return", "device", "ticket", "plan"];
const SYNONYMS = { charge: "payment", refund: "payment", profile: "profile", email: "profile", phone: "profile", address: "profile", subscription: "plan" };
const LOOKS = /^(list|show|get|find|check|explain)_|_status$|_history$/;

// What a tool does, in the customer's words: its name is for programmers.
export function activity(tool) {
  if (!LOOKS.test(tool)) return t("acting");
  const noun = NOUNS.find((name) => tool.includes(name)) ?? SYNONYMS[Object.keys(SYNONYMS).find((name) => tool.includes(name))];
  return t(`look_${noun ?? "other"}`);
}
