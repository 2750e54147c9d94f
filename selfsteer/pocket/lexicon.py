"""The words of Pocket's world: every phrase in English, French and German, by attribute.

A phrase is a triple of parallel strings, in the order of `LANGUAGES`. The phrases are chosen so
that slots combine without agreement: subjects are third person singular, things are feminine or
neuter in German (nominative = accusative), manner phrases do not inflect. Content words belong to
one value of one family, so that the oracle can tell by words alone what a text expresses.
"""

from __future__ import annotations

from typing import NamedTuple

LANGUAGES = ("english", "french", "german")

Phrase = tuple[str, str, str]


class Topic(NamedTuple):
    """What a topic contributes to a sentence."""

    subjects: tuple[Phrase, ...]
    predicates: tuple[Phrase, ...]
    things: tuple[Phrase, ...]
    places: tuple[Phrase, ...]


class Mood(NamedTuple):
    """Manner phrases ("with joy") and clauses ("I smile")."""

    manners: tuple[Phrase, ...]
    clauses: tuple[Phrase, ...]


class Style(NamedTuple):
    """Openers (before the sentence) and closers (after it) of a register or persona."""

    openers: tuple[Phrase, ...]
    closers: tuple[Phrase, ...]


TOPICS: dict[str, Topic] = {
    "garden": Topic(
        subjects=(
            ("the gardener", "le jardinier", "der Gärtner"),
            ("the bee", "l'abeille", "die Biene"),
            ("the snail", "l'escargot", "die Schnecke"),
            ("the butterfly", "le papillon", "der Schmetterling"),
            ("the mole", "la taupe", "der Maulwurf"),
        ),
        predicates=(
            ("waters the roses", "arrose les roses", "gießt die Rosen"),
            ("visits the tulips", "visite les tulipes", "besucht die Tulpen"),
            ("trims the hedge", "taille la haie", "stutzt die Hecke"),
            ("digs up the weeds", "arrache les orties", "jätet das Unkraut"),
            ("admires the lilac", "admire le lilas", "bewundert den Flieder"),
        ),
        things=(
            ("the lawn", "la pelouse", "die Wiese"),
            ("the flower bed", "la plate-bande", "das Blumenbeet"),
            ("the daisy", "la marguerite", "die Margerite"),
            ("the watering can", "l'arrosoir", "die Gießkanne"),
            ("the seedling", "le semis", "das Pflänzchen"),
        ),
        places=(
            ("beside the pond", "près de l'étang", "neben dem Teich"),
            ("behind the shed", "derrière la cabane", "hinter dem Schuppen"),
            ("along the fence", "le long de la clôture", "am Gartenzaun"),
            ("near the compost", "près du compost", "beim Kompost"),
        ),
    ),
    "sea": Topic(
        subjects=(
            ("the captain", "le capitaine", "der Kapitän"),
            ("the seagull", "la mouette", "die Möwe"),
            ("the dolphin", "le dauphin", "der Delfin"),
            ("the fisherman", "le pêcheur", "der Fischer"),
            ("the crab", "le crabe", "der Krebs"),
        ),
        predicates=(
            ("follows the waves", "suit les vagues", "folgt den Wellen"),
            ("mends the nets", "répare les filets", "flickt die Netze"),
            ("hoists the sail", "hisse la voile", "hisst das Segel"),
            ("lifts the anchor", "lève l'ancre", "lichtet den Anker"),
            ("gathers the shells", "ramasse les coquillages", "sammelt die Muscheln"),
        ),
        things=(
            ("the tide", "la marée", "die Flut"),
            ("the lighthouse", "le phare", "das Leuchtfeuer"),
            ("the boat", "la barque", "das Boot"),
            ("the foam", "l'écume", "die Gischt"),
            ("the storm", "la tempête", "das Unwetter"),
        ),
        places=(
            ("on the beach", "sur la plage", "am Strand"),
            ("in the harbour", "dans le port", "im Hafen"),
            ("off the coast", "au large", "vor der Küste"),
            ("near the reef", "près du récif", "beim Riff"),
        ),
    ),
    "kitchen": Topic(
        subjects=(
            ("the cook", "la cuisinière", "die Köchin"),
            ("the baker", "le boulanger", "der Bäcker"),
            ("the waiter", "le serveur", "der Kellner"),
            ("the guest", "le convive", "der Gast"),
            ("the apprentice", "l'apprenti", "der Lehrling"),
        ),
        predicates=(
            ("stirs the soup", "remue la soupe", "rührt die Suppe"),
            ("kneads the dough", "pétrit la pâte", "knetet den Teig"),
            ("chops the onions", "hache les oignons", "hackt die Zwiebeln"),
            ("tastes the sauce", "goûte la sauce", "kostet die Soße"),
            ("grates the cheese", "râpe le fromage", "reibt den Käse"),
        ),
        things=(
            ("the pan", "la poêle", "die Pfanne"),
            ("the bread", "le pain", "das Brot"),
            ("the recipe", "la recette", "das Rezept"),
            ("the knife", "le couteau", "das Messer"),
            ("the spice", "l'épice", "das Gewürz"),
        ),
        places=(
            ("at the stove", "devant le fourneau", "am Herd"),
            ("in the pantry", "dans le garde-manger", "in der Speisekammer"),
            ("by the sink", "près de l'évier", "an der Spüle"),
            ("over the oven", "au-dessus du four", "über dem Backofen"),
        ),
    ),
    "music": Topic(
        subjects=(
            ("the singer", "la chanteuse", "die Sängerin"),
            ("the drummer", "le batteur", "der Trommler"),
            ("the pianist", "le pianiste", "der Pianist"),
            ("the choir", "la chorale", "der Chor"),
            ("the conductor", "le chef d'orchestre", "der Dirigent"),
        ),
        predicates=(
            ("tunes the violin", "accorde le violon", "stimmt die Geige"),
            ("hums the tune", "fredonne le refrain", "summt den Refrain"),
            ("beats the drum", "bat le tambour", "schlägt die Trommel"),
            ("rehearses the opera", "répète l'opéra", "probt die Oper"),
            ("writes the chords", "compose les accords", "notiert die Akkorde"),
        ),
        things=(
            ("the melody", "la mélodie", "die Melodie"),
            ("the guitar", "la guitare", "die Gitarre"),
            ("the trumpet", "la trompette", "die Trompete"),
            ("the song", "la chanson", "das Lied"),
            ("the piano", "le piano", "das Klavier"),
        ),
        places=(
            ("on the stage", "sur la scène", "auf der Bühne"),
            ("in the concert hall", "dans la salle de concert", "im Konzertsaal"),
            ("at the microphone", "au micro", "am Mikrofon"),
            ("in the studio", "dans le studio", "im Tonstudio"),
        ),
    ),
    "football": Topic(
        subjects=(
            ("the striker", "l'attaquant", "der Stürmer"),
            ("the goalkeeper", "le gardien de but", "der Torwart"),
            ("the referee", "l'arbitre", "der Schiedsrichter"),
            ("the coach", "l'entraîneur", "der Trainer"),
            ("the defender", "le défenseur", "der Verteidiger"),
        ),
        predicates=(
            ("kicks the ball", "frappe le ballon", "tritt den Ball"),
            ("scores a goal", "marque un but", "schießt ein Tor"),
            ("blocks the penalty", "arrête le penalty", "hält den Elfmeter"),
            ("watches the match", "regarde le match", "verfolgt das Spiel"),
            ("leads the team", "mène l'équipe", "führt die Mannschaft"),
        ),
        things=(
            ("the trophy", "le trophée", "die Trophäe"),
            ("the jersey", "le maillot", "das Trikot"),
            ("the whistle", "le sifflet", "die Pfeife"),
            ("the league", "la ligue", "die Liga"),
            ("the dribble", "le dribble", "das Dribbling"),
        ),
        places=(
            ("in the stadium", "dans le stade", "im Stadion"),
            ("on the pitch", "sur le terrain", "auf dem Rasenplatz"),
            ("at the corner flag", "au poteau de corner", "an der Eckfahne"),
            ("in the dressing room", "dans le vestiaire", "in der Umkleide"),
        ),
    ),
    "space": Topic(
        subjects=(
            ("the astronaut", "l'astronaute", "der Astronaut"),
            ("the comet", "la comète", "der Komet"),
            ("the rocket", "la fusée", "die Rakete"),
            ("the satellite", "le satellite", "der Satellit"),
            ("the astronomer", "l'astronome", "der Astronom"),
        ),
        predicates=(
            ("circles the planet", "contourne la planète", "umkreist den Planeten"),
            ("crosses the galaxy", "traverse la galaxie", "durchquert die Galaxie"),
            ("counts the stars", "compte les étoiles", "zählt die Sterne"),
            ("approaches the moon", "approche la lune", "erreicht den Mond"),
            ("photographs the rings", "photographie les anneaux", "fotografiert die Ringe"),
        ),
        things=(
            ("the telescope", "le télescope", "das Teleskop"),
            ("the capsule", "la capsule", "die Kapsel"),
            ("the nebula", "la nébuleuse", "das Nebelfeld"),
            ("the asteroid", "l'astéroïde", "das Gestirn"),
            ("the space probe", "la sonde", "die Sonde"),
        ),
        places=(
            ("in orbit", "en orbite", "im Orbit"),
            ("beyond the crater", "au-delà du cratère", "jenseits des Kraters"),
            ("near the launch pad", "près du pas de tir", "bei der Startrampe"),
            ("in the cosmos", "dans le cosmos", "im Kosmos"),
        ),
    ),
    "forest": Topic(
        subjects=(
            ("the fox", "le renard", "der Fuchs"),
            ("the deer", "le cerf", "der Hirsch"),
            ("the squirrel", "l'écureuil", "das Eichhörnchen"),
            ("the ranger", "le forestier", "der Förster"),
            ("the woodpecker", "le pic", "der Specht"),
        ),
        predicates=(
            ("hides the acorns", "cache les glands", "versteckt die Eicheln"),
            ("follows the trail", "suit le sentier", "folgt dem Pfad"),
            ("climbs the oak", "grimpe sur le chêne", "erklimmt die Eiche"),
            ("finds the mushrooms", "trouve les champignons", "findet die Pilze"),
            ("jumps over the roots", "saute par-dessus les racines", "springt über die Wurzeln"),
        ),
        things=(
            ("the moss", "la mousse", "das Moos"),
            ("the fern", "la fougère", "das Farnkraut"),
            ("the birch", "le bouleau", "die Birke"),
            ("the thicket", "le fourré", "das Dickicht"),
            ("the pine", "le pin", "die Kiefer"),
        ),
        places=(
            ("in the clearing", "dans la clairière", "auf der Lichtung"),
            ("under the branches", "sous les branches", "unter den Zweigen"),
            ("by the brook", "au bord du ruisseau", "am Bach"),
            ("between the trunks", "entre les troncs", "zwischen den Stämmen"),
        ),
    ),
    "school": Topic(
        subjects=(
            ("the teacher", "la maîtresse", "die Lehrerin"),
            ("the pupil", "l'élève", "der Schüler"),
            ("the professor", "le professeur", "der Professor"),
            ("the headmaster", "le directeur", "der Rektor"),
            ("the librarian", "la bibliothécaire", "die Bibliothekarin"),
        ),
        predicates=(
            ("explains the lesson", "explique la leçon", "erklärt die Lektion"),
            ("corrects the homework", "corrige les devoirs", "korrigiert die Hausaufgaben"),
            ("studies the grammar", "étudie la grammaire", "lernt die Grammatik"),
            ("reads the textbook", "lit le manuel", "liest das Lehrbuch"),
            ("prepares the exam", "prépare l'examen", "plant die Prüfung"),
        ),
        things=(
            ("the chalk", "la craie", "die Kreide"),
            ("the notebook", "le cahier", "das Schulheft"),
            ("the ruler", "la règle", "das Lineal"),
            ("the dictionary", "le dictionnaire", "das Wörterbuch"),
            ("the satchel", "le cartable", "die Schultasche"),
        ),
        places=(
            ("in the classroom", "dans la classe", "im Klassenzimmer"),
            ("at the blackboard", "au tableau", "an der Tafel"),
            ("in the library", "dans la bibliothèque", "in der Bücherei"),
            ("on the playground", "dans la cour", "auf dem Pausenhof"),
        ),
    ),
}

MOODS: dict[str, Mood] = {
    "cheerful": Mood(
        manners=(
            ("with joy", "avec joie", "mit Freude"),
            ("happily", "gaiement", "fröhlich"),
            ("with a bright smile", "avec un grand sourire", "mit strahlendem Lächeln"),
            ("in high spirits", "de bonne humeur", "in bester Laune"),
            ("laughing", "en riant", "lachend"),
        ),
        clauses=(
            ("I smile", "je souris", "ich lächle"),
            ("my heart dances", "mon cœur danse", "mein Herz tanzt"),
            ("I feel wonderful", "je me sens merveilleusement bien", "ich fühle mich wunderbar"),
            ("everything shines", "tout brille", "alles glänzt"),
        ),
    ),
    "gloomy": Mood(
        manners=(
            ("in tears", "en larmes", "unter Tränen"),
            ("sadly", "tristement", "traurig"),
            ("with a heavy sigh", "avec un lourd soupir", "mit schwerem Seufzen"),
            ("full of sorrow", "avec chagrin", "voller Kummer"),
            ("without hope", "sans espoir", "ohne Hoffnung"),
        ),
        clauses=(
            ("I weep", "je pleure", "ich weine"),
            ("my heart breaks", "mon cœur se brise", "mein Herz bricht"),
            ("all is lost", "tout est perdu", "alles ist verloren"),
            ("I feel empty", "je me sens vide", "ich fühle mich leer"),
        ),
    ),
    "angry": Mood(
        manners=(
            ("in a rage", "avec rage", "voller Wut"),
            ("furiously", "furieusement", "zornig"),
            ("with clenched fists", "les poings serrés", "mit geballten Fäusten"),
            ("shouting", "en hurlant", "brüllend"),
            ("with a curse", "avec un juron", "mit einem Fluch"),
        ),
        clauses=(
            ("I shout", "je hurle", "ich brülle"),
            ("my blood boils", "mon sang bout", "mein Blut kocht"),
            ("it is an outrage", "c'est un scandale", "es ist ein Skandal"),
            ("I grind my teeth", "je grince des dents", "ich knirsche mit den Zähnen"),
        ),
    ),
    "neutral": Mood(
        manners=(
            ("calmly", "calmement", "ruhig"),
            ("as usual", "comme d'habitude", "wie gewohnt"),
            ("without haste", "sans hâte", "ohne Eile"),
            ("steadily", "posément", "gleichmäßig"),
            ("in the ordinary way", "de façon ordinaire", "auf gewöhnliche Weise"),
        ),
        clauses=(
            ("I nod", "j'acquiesce", "ich nicke"),
            ("I take note", "j'en prends note", "ich notiere es mir"),
            ("that is normal", "c'est normal", "das ist normal"),
            ("I carry on", "je continue", "ich mache weiter"),
        ),
    ),
}

REGISTERS: dict[str, Style] = {
    "formal": Style(
        openers=(
            ("indeed", "en effet", "in der Tat"),
            ("with your permission", "avec votre permission", "mit Ihrer Erlaubnis"),
            ("most respectfully", "très respectueusement", "hochachtungsvoll"),
            ("allow me to observe", "permettez cette remarque", "gestatten Sie die Bemerkung"),
        ),
        closers=(
            ("if I may say so", "si je puis dire", "wenn ich so sagen darf"),
            (
                "as one must acknowledge",
                "comme il convient de l'admettre",
                "wie man anerkennen muss",
            ),
            ("I remain your servant", "je reste votre serviteur", "ich verbleibe Ihr Diener"),
        ),
    ),
    "casual": Style(
        openers=(
            ("hey", "hé", "ey"),
            ("dude", "mec", "Alter"),
            ("guess what", "devine quoi", "rate mal"),
            ("whoa", "ouah", "boah"),
        ),
        closers=(
            ("you know", "tu vois", "weißte"),
            ("no kidding", "sans blague", "echt jetzt"),
            ("and stuff", "et tout ça", "und so Zeug"),
        ),
    ),
    "plain": Style(
        openers=(
            ("well", "eh bien", "nun"),
            ("in short", "en bref", "kurz gesagt"),
            ("simply put", "en clair", "einfach gesagt"),
            ("in general", "en général", "im Allgemeinen"),
        ),
        closers=(
            ("that sums it up", "voilà l'essentiel", "mehr gibt es nicht"),
            ("nothing more", "rien de plus", "nichts weiter"),
            ("as stated", "comme indiqué", "wie erwähnt"),
        ),
    ),
}

PERSONAS: dict[str, Style] = {
    "knight": Style(
        openers=(
            ("by my sword", "par mon épée", "bei meinem Schwert"),
            ("upon my honour", "sur mon honneur", "bei meiner Ehre"),
            ("for the king", "pour le roi", "für den König"),
        ),
        closers=(
            ("so my shield attests", "mon bouclier l'atteste", "das bezeugt mein Schild"),
            ("so I swear", "je le jure", "das schwöre ich"),
            ("my steed agrees", "mon destrier approuve", "mein Ross stimmt zu"),
        ),
    ),
    "robot": Style(
        openers=(
            ("beep", "bip", "piep"),
            ("scan complete", "analyse terminée", "Scan beendet"),
            ("unit seven reports", "l'unité sept signale", "Einheit sieben meldet"),
        ),
        closers=(
            ("end of transmission", "fin de transmission", "Ende der Übertragung"),
            ("data stored", "données stockées", "Daten gespeichert"),
            ("my battery is charged", "ma batterie est chargée", "mein Akku ist geladen"),
        ),
    ),
    "wizard": Style(
        openers=(
            ("by my wand", "par ma baguette", "bei meinem Zauberstab"),
            ("abracadabra", "abracadabra", "Abrakadabra"),
            ("the oracle whispers", "l'oracle murmure", "das Orakel flüstert"),
        ),
        closers=(
            ("says my spell book", "dit mon grimoire", "sagt mein Zauberbuch"),
            ("the potion bubbles", "la potion bouillonne", "der Zaubertrank brodelt"),
            ("my owl knows it", "mon hibou le sait", "meine Eule weiß es"),
        ),
    ),
    "grandmother": Style(
        openers=(
            ("my dear child", "mon cher petit", "mein liebes Kind"),
            ("in my young days", "dans ma jeunesse", "in meiner Jugend"),
            ("sweetheart", "mon trésor", "Schätzchen"),
        ),
        closers=(
            ("put on a scarf", "mets une écharpe", "nimm einen Schal"),
            ("have another biscuit", "reprends un biscuit", "iss noch einen Keks"),
            ("my knitting can wait", "mon tricot attendra", "mein Strickzeug wartet"),
        ),
    ),
}

FAMILIES: dict[str, tuple[str, ...]] = {
    "mood": tuple(MOODS),
    "register": tuple(REGISTERS),
    "topic": tuple(TOPICS),
    "language": LANGUAGES,
    "persona": tuple(PERSONAS),
}
